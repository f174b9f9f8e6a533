"""What an operator's monitoring counts of the requests: kept in memory by the recorder, off the requests' own path.

Labels are few and known beforehand. What belongs to one organisation is for its own pages, and no label here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from metering.usage import UsageRecord

DURATIONS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
OVERHEADS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)
NODE, PROVIDER = "node", "provider"
OK = "ok"
K = TypeVar("K")


class Spread(msgspec.Struct):
    """How often a value was at most each of the bounds and above the one before; the last is beyond all."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    @classmethod
    def over(cls, bounds: tuple[float, ...]) -> Spread:
        return cls(bounds, [0] * (len(bounds) + 1))

    def note(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Spread) -> None:
        """What was noted with other bounds, by another version, is left out."""
        if other.bounds == self.bounds:
            self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
            self.total += other.total


class Tally(msgspec.Struct):
    """Of one process since its start, or of several added up. Money in nano-USD, tokens by kind.

    `requests` is by endpoint, status and what the cache said, `attempts` by kind of target and outcome. First tokens
    are those of answers that came from upstream, by the kind of who gave them.
    """

    requests: dict[tuple[str, int, str], int] = {}
    attempts: dict[tuple[str, str], int] = {}
    tokens: dict[str, int] = {}
    cost_nanos: int = 0
    rescued: int = 0
    """Answered, though not by the first that was tried."""
    durations: dict[str, Spread] = {}
    first_tokens: dict[str, Spread] = {}
    overheads: Spread = msgspec.field(default_factory=lambda: Spread.over(OVERHEADS_S))

    def note(self, record: UsageRecord) -> None:
        _raise(self.requests, (record.endpoint, record.status, record.cache))
        _spread(self.durations, record.endpoint).note(record.duration_ms / 1000)
        for attempt in record.attempts:
            _raise(self.attempts, (_kind_of(attempt.target), attempt.outcome))
        if record.overhead_us is not None:
            self.overheads.note(record.overhead_us / 1e6)
        if not record.attempts:
            return
        self.rescued += record.attempts[0].outcome != OK == record.attempts[-1].outcome
        self.cost_nanos += record.cost_nanos
        _raise(self.tokens, "input", record.input_tokens)
        _raise(self.tokens, "output", record.output_tokens)
        if record.cached_tokens:
            _raise(self.tokens, "cached_input", record.cached_tokens)
        if record.ttft_ms is not None:
            _spread(self.first_tokens, _kind_of(record.target)).note(record.ttft_ms / 1000)

    def add(self, other: Tally) -> None:
        _raise_all(self.requests, other.requests)
        _raise_all(self.attempts, other.attempts)
        _raise_all(self.tokens, other.tokens)
        for mine, theirs in ((self.durations, other.durations), (self.first_tokens, other.first_tokens)):
            for label, spread in theirs.items():
                _spread(mine, label).add(spread)
        self.overheads.add(other.overheads)
        self.cost_nanos += other.cost_nanos
        self.rescued += other.rescued


def sum_of(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def _raise(counts: dict[K, int], key: K, by: int = 1) -> None:
    counts[key] = counts.get(key, 0) + by


def _raise_all(counts: dict[K, int], by: dict[K, int]) -> None:
    for key, count in by.items():
        _raise(counts, key, count)


def _spread(spreads: dict[str, Spread], label: str) -> Spread:
    found = spreads.get(label)
    if found is None:
        found = spreads[label] = Spread.over(DURATIONS_S)
    return found


def _kind_of(target: str) -> str:
    return NODE if target.startswith("node/") else PROVIDER
