"""Starts the gateways side by side and measures them in turn, so that a noisy minute meets them all."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import load, results
from bench.cases import Case
from bench.gateways import GATEWAYS, Endpoint, Gateway
from bench.processes import GatewayError, cpu_nanos, rss_mb
from bench.progress import say


@dataclass(frozen=True, slots=True)
class Settings:
    gateways: Sequence[str]
    cases: Sequence[Case]
    rounds: int = 7
    connections: int = 16
    requests: int | None = None  # per round and gateway, instead of the case's own number
    scale: float = 1.0  # of the case's own number


@contextlib.contextmanager
def upstream() -> Iterator[str]:
    """The mock upstream in a process of its own; yields its URL without a path."""
    command = [sys.executable, "-m", "bench.upstream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        finally:
            process.terminate()


@contextlib.contextmanager
def started(gateway: Gateway, upstream_url: str) -> Iterator[Endpoint]:
    """Builds and starts one gateway, and stops it whatever happens.

    Raises:
        GatewayError: it cannot be built or does not come up.
    """
    try:
        gateway.build()
        say(f"{gateway.name}: starting")
        yield gateway.start(upstream_url)
    finally:
        gateway.stop()


def aim(endpoint: Endpoint, case: Case) -> load.Aim:
    body = case.body(endpoint.models[case.name])
    headers = {**endpoint.headers, **endpoint.case_headers.get(case.name, {})}
    request = load.post(endpoint.host, endpoint.port, endpoint.path, body, headers)
    return load.Aim(endpoint.host, endpoint.port, request, case.check)


def count(settings: Settings, gateway: Gateway, case: Case) -> int:
    wanted = settings.requests or int(case.requests * gateway.share * settings.scale)
    return max(wanted, settings.connections)


def measure(gateway: Gateway, endpoint: Endpoint, case: Case, settings: Settings) -> results.Row:
    """One round of one case: a warm-up, then the run that counts.

    Raises:
        GatewayError: the gateway died, or answered nothing right in the warm-up.
    """
    requests = count(settings, gateway, case)
    target = aim(endpoint, case)
    first = max(settings.connections, int(case.warm_up * gateway.share))
    warm_up = load.run(target, first, settings.connections)
    if warm_up.failed == warm_up.requests:
        raise GatewayError(f"{case.name}: no right answer in the warm-up: {faults(warm_up)}")
    before = cpu_nanos(gateway.pids)
    seen = load.run(target, requests, settings.connections)
    cpu_us = (cpu_nanos(gateway.pids) - before) / 1000 / requests
    if seen.failed:
        say(f"{gateway.name} {case.name}: {seen.failed} of {seen.requests} failed: {faults(seen)}")
    return results.Row(
        gateway=gateway.name,
        case=case.name,
        cpu_us=cpu_us,
        rps=seen.rps,
        p50_ms=seen.percentile_ms(0.50),
        p99_ms=seen.percentile_ms(0.99),
        rss_mb=rss_mb(gateway.pids, peak=True),
        requests=seen.requests,
        failed=seen.failed,
    )


def faults(seen: load.Load) -> str:
    return ", ".join(f"{number} × {fault}" for fault, number in seen.faults.most_common(3))


def compare(settings: Settings) -> results.Results:
    """The whole comparison. A gateway that fails is named in `missing`, the others go on."""
    with contextlib.ExitStack() as stack:
        comparison = _Comparison(settings, stack, stack.enter_context(upstream()))
        for name in settings.gateways:
            comparison.start(name)
        for number in range(1, settings.rounds + 1):
            for case in settings.cases:
                comparison.take_turns(number, case)
    rows = [results.median_row(of_one) for of_one in comparison.rounds.values()]
    rows.sort(key=lambda row: (results.CASE_NAMES.index(row.case), results.GATEWAY_NAMES.index(row.gateway)))
    date = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return results.Results(date, results.machine(), rows, comparison.missing)


class _Comparison:
    def __init__(self, settings: Settings, stack: contextlib.ExitStack, upstream_url: str) -> None:
        self.missing: dict[str, str] = {}
        self.rounds: dict[tuple[str, str], list[results.Row]] = {}
        self._settings = settings
        self._stack = stack
        self._upstream_url = upstream_url
        self._running: dict[str, tuple[Gateway, Endpoint]] = {}

    def start(self, name: str) -> None:
        gateway = GATEWAYS[name]()
        try:
            endpoint = self._stack.enter_context(started(gateway, self._upstream_url))
        except GatewayError as error:
            self._miss(name, error)
        else:
            self._running[name] = gateway, endpoint

    def take_turns(self, number: int, case: Case) -> None:
        """One case on every gateway that serves it."""
        for name, (gateway, endpoint) in list(self._running.items()):
            if case.name not in endpoint.models or name in self.missing:
                continue
            requests = count(self._settings, gateway, case)
            say(f"round {number}/{self._settings.rounds}, {case.name}: {requests:,} requests to {name}")
            try:
                row = self._measured(name, case)
            except GatewayError as error:
                self._miss(name, error)
                continue
            say(
                f"    {row.cpu_us:,.0f} µs CPU, {row.rps:,.0f}/s, p50 {row.p50_ms:.1f} ms, p99 {row.p99_ms:.1f} ms, "
                f"{row.rss_mb:.0f} MB"
            )
            self.rounds.setdefault((name, case.name), []).append(row)

    def _measured(self, name: str, case: Case) -> results.Row:
        """A gateway that dies in its turn is started once more: the next one may be the figure."""
        gateway, endpoint = self._running[name]
        try:
            row = measure(gateway, endpoint, case, self._settings)
        except GatewayError:
            if not gateway.has_died:
                raise
        else:
            if not gateway.has_died:
                return row
        say(f"{name}: died in {case.name}, and is started again")
        self.start(name)
        if name in self.missing:
            raise GatewayError(self.missing[name])
        return measure(*self._running[name], case, self._settings)

    def _miss(self, name: str, error: GatewayError) -> None:
        self.missing[name] = str(error)
        say(f"{name}: NOT MEASURED: {error}")
