"""Many requests at ours, and whether its memory stays flat."""

from __future__ import annotations

from dataclasses import dataclass

from bench import load
from bench.cases import CASES, Case
from bench.gateways import GATEWAYS, Endpoint, Gateway
from bench.processes import GatewayError, rss_mb
from bench.progress import say
from bench.runner import aim, faults, started, upstream

LIMIT_MB = 5.0
_WARM_UP = 5_000
_BATCH = 10_000
_STREAMS_PER_BATCH = 500


@dataclass(frozen=True, slots=True)
class Soak:
    requests: int
    failed: int
    start_mb: float
    end_mb: float

    @property
    def growth_mb(self) -> float:
        return self.end_mb - self.start_mb

    @property
    def flat(self) -> bool:
        return self.failed == 0 and self.growth_mb <= LIMIT_MB


def soak(gateway_name: str, requests: int, connections: int = 16) -> Soak:
    """Sends the requests, one in twenty of them a stream, and compares RSS after the warm-up and at the end.

    Raises:
        GatewayError: the gateway cannot be built or started, or answered nothing right in the warm-up.
    """
    gateway = GATEWAYS[gateway_name]()
    with upstream() as upstream_url, started(gateway, upstream_url) as endpoint:
        seen = _batch(endpoint, min(_WARM_UP, requests), connections)
        if seen == min(_WARM_UP, requests):
            raise GatewayError(f"{gateway_name}: no right answer in the warm-up")
        start_mb = rss_mb(gateway.pids)
        say(f"{gateway_name}: {start_mb:.1f} MB after the warm-up")
        failed = _all_batches(gateway, endpoint, requests, connections)
        return Soak(requests, failed, start_mb, rss_mb(gateway.pids))


def _all_batches(gateway: Gateway, endpoint: Endpoint, requests: int, connections: int) -> int:
    failed = sent = 0
    while sent < requests:
        size = min(_BATCH, requests - sent)
        failed += _batch(endpoint, size, connections)
        sent += size
        say(f"{gateway.name}: {sent:,} of {requests:,} sent, {failed:,} failed, {rss_mb(gateway.pids):.1f} MB")
    return failed


def _batch(endpoint: Endpoint, size: int, connections: int) -> int:
    """Returns how many failed."""
    streams = size * _STREAMS_PER_BATCH // _BATCH
    return _send(endpoint, CASES["stream"], streams, connections) + _send(
        endpoint, CASES["unary"], size - streams, connections
    )


def _send(endpoint: Endpoint, case: Case, requests: int, connections: int) -> int:
    if requests == 0:
        return 0
    seen = load.run(aim(endpoint, case), requests, connections)
    if seen.failed:
        say(f"{case.name}: {faults(seen)}")
    return seen.failed
