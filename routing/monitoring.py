"""`/metrics`, in the format of Prometheus: counts of all processes of this host, whichever of them is asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from time import monotonic

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from metering.tallies import Moment, Tallies
from metering.tally import Spread, Tally

POST_EVERY_S = 5.0
NANOS = 10**9

logger = logging.getLogger(__name__)


async def post_for_ever(tallies: Tallies, look: Callable[[float], Moment]) -> None:
    """Args: look: how this process is, given by how many seconds its loop was late."""
    late_s = 0.0
    while True:
        try:
            await asyncio.to_thread(tallies.post, look(late_s))
        except OSError as error:
            logger.warning("figures for monitoring were not posted: %s", error)
        due_s = monotonic() + POST_EVERY_S
        await asyncio.sleep(POST_EVERY_S)
        late_s = max(monotonic() - due_s, 0.0)


def exposition(tallies: Tallies) -> bytes:
    """Reads files."""
    registry = CollectorRegistry()
    registry.register(_Told(*tallies.all()))
    return generate_latest(registry)


class _Told(Collector):
    def __init__(self, tally: Tally, moments: dict[str, Moment]) -> None:
        self._tally = tally
        self._moments = moments

    def collect(self) -> Iterator[Metric]:
        yield from _requests(self._tally)
        yield from _times(self._tally)
        yield from _processes(self._moments)


def _requests(tally: Tally) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "shareai_requests",
        "Requests that have ended, however they did; cache is hit, miss or, where no rule keeps answers, off.",
        labels=("endpoint", "status", "cache"),
    )
    for (endpoint, status, cache), count in sorted(tally.requests.items()):
        requests.add_metric((endpoint, str(status), cache.lower() or "off"), count)
    yield requests
    attempts = CounterMetricFamily(
        "shareai_attempts", "Tries at targets, by how they ended.", labels=("target", "outcome")
    )
    for labels, count in sorted(tally.attempts.items()):
        attempts.add_metric(labels, count)
    yield attempts
    yield CounterMetricFamily(
        "shareai_rescued_requests",
        "Requests answered by another target than the first one tried.",
        value=tally.rescued,
    )
    tokens = CounterMetricFamily(
        "shareai_tokens",
        "Tokens that targets have read and written; cached_input is a part of input.",
        labels=("kind",),
    )
    for kind, count in sorted(tally.tokens.items()):
        tokens.add_metric((kind,), count)
    yield tokens
    yield CounterMetricFamily(
        "shareai_cost_usd", "What targets' prices make of them.", value=tally.cost_nanos / NANOS
    )


def _times(tally: Tally) -> Iterator[Metric]:
    yield _histogram("shareai_request_duration_seconds", "From a request to its end.", "endpoint", tally.durations)
    yield _histogram(
        "shareai_first_token_seconds", "From a request to its first token.", "target", tally.first_tokens
    )
    overhead = HistogramMetricFamily("shareai_overhead_seconds", "What the gateway itself took of a request's time.")
    overhead.add_metric((), *_buckets(tally.overheads))
    yield overhead


def _histogram(name: str, about: str, label: str, spreads: dict[str, Spread]) -> HistogramMetricFamily:
    histogram = HistogramMetricFamily(name, about, labels=(label,))
    for value, spread in sorted(spreads.items()):
        histogram.add_metric((value,), *_buckets(spread))
    return histogram


def _buckets(spread: Spread) -> tuple[list[tuple[str, float]], float]:
    """As Prometheus wants them: each counts what is below as well."""
    bounds = [*(str(bound) for bound in spread.bounds), "+Inf"]
    return list(zip(bounds, accumulate(spread.counts), strict=True)), spread.total


def _processes(moments: dict[str, Moment]) -> Iterable[Metric]:
    for name, about, look in _OF_A_PROCESS:
        gauge = GaugeMetricFamily(name, about, labels=("process",))
        for process, moment in sorted(moments.items()):
            gauge.add_metric((process,), look(moment))
        yield gauge


_OF_A_PROCESS: tuple[tuple[str, str, Callable[[Moment], float]], ...] = (
    ("shareai_requests_in_flight", "Requests that this process is serving.", lambda now: now.requests),
    ("shareai_nodes_connected", "Machines whose connection ends at this process.", lambda now: now.nodes),
    ("shareai_loop_lag_seconds", "How late its event loop woke for something due.", lambda now: now.loop_lag_s),
    ("shareai_journal_backlog_bytes", "Usage that is not in the database yet.", lambda now: now.backlog_bytes),
    ("shareai_recorder_failures", "Times in a row that usage could not be recorded.", lambda now: now.failures),
    ("shareai_records_set_aside", "Usage that the database refused, since its start.", lambda now: now.set_aside),
    ("shareai_resident_bytes", "Memory of this process.", lambda now: now.resident_bytes),
)
