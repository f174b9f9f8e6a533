"""How times are spread: one number holds how many fell into each step, so that sums of sums keep percentiles.

The counts are the digits of the number, twelve decimal digits each, the shortest times in the lowest ones. Adding two
such numbers adds every count, which is what PostgreSQL's sum() does in its fastest loop.

    steps      0        1        2     …           PostgreSQL    ('1e' || 12 * step)::numeric, summed
    up to     10 ms    12 ms    15 ms              here          Spread(number).quantile(0.99)

A quantile is the place between the two edges of its step, hence off by at most a quarter of itself.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

_GROWTH = 1.25
_STEPS = 48
_DIGITS = 12
_BASE = 10**_DIGITS
MOST_DIGITS = _DIGITS * (_STEPS + 1)


def _edges() -> tuple[int, ...]:
    """In milliseconds, each a quarter above the one before: from 10 ms to six minutes."""
    return tuple(round(10 * _GROWTH**step) for step in range(_STEPS))


EDGES_MS = _edges()


def digit_sql(milliseconds: str) -> str:
    """SQL of what one time adds; 0 where there is no time."""
    edges = ", ".join(map(str, EDGES_MS))
    return f"coalesce(('1e' || {_DIGITS} * width_bucket({milliseconds}, ARRAY[{edges}]))::numeric, 0)"


def digit_of(milliseconds: int | None) -> int:
    """What one time adds."""
    return 0 if milliseconds is None else int(_BASE ** bisect_right(EDGES_MS, milliseconds))


@dataclass(frozen=True, slots=True)
class Spread:
    number: int

    def counts(self) -> list[int]:
        found, rest = [], self.number
        while rest:
            rest, count = divmod(rest, _BASE)
            found.append(count)
        return found

    def quantile(self, share: float) -> float | None:
        """In milliseconds; None where nothing was measured.

        Args:
            share: of the times that are shorter, 0.5 for the median.
        """
        counts = self.counts()
        wanted = share * sum(counts)
        passed = 0
        for step, count in enumerate(counts):
            if count and passed + count >= wanted:
                low, high = _bounds(step)
                return low + (high - low) * (wanted - passed) / count
            passed += count
        return None


def _bounds(step: int) -> tuple[float, float]:
    low = EDGES_MS[step - 1] if step else 0
    return low, EDGES_MS[step] if step < len(EDGES_MS) else low * _GROWTH
