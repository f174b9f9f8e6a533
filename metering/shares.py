"""What one process admits by itself while Redis is away: its share of each limit, one of so many processes'.

It starts from what the process last heard of each bucket, and remembers what it then charged by itself, for Redis to
hear when it is back.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from common.ratelimit import wait_us
from metering.bounds import TOKENS, Bound

Charge = tuple[Bound, int]
"""A bound and how many units of it a request takes."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What was decided on a request.

    Attributes:
        binding: the index of the charge that forbids it, -1 when it may come.
        wait_us: until that could change; 0 for a slot, whose end nobody knows.
        states: of each charge's bucket: how far ahead it is in microseconds, or the slots in use.
        parts: of each charge's limit, what this process may of it by itself; None where the whole limit held.
    """

    binding: int
    wait_us: float
    states: Sequence[float]
    parts: Sequence[float] | None = None


class Place(msgspec.Struct, frozen=True, gc=False):
    """Among how many processes limits are divided, and this one's place among them, the oldest being 0; None where it
    is not known, which is wherever some of them are on other hosts."""

    processes: int
    rank: int | None = None

    def part_of(self, limit: int) -> float:
        """Over all processes never more than the limit. Those at the front bear what is left over: without them a
        limit smaller than the number of processes would let nobody in."""
        if self.rank is None:
            return limit / self.processes
        return limit // self.processes + (self.rank < limit % self.processes)

    def stretch(self, limit: int) -> float:
        """How many times as dear a unit is here as it is to all together."""
        if self.rank is None:
            return self.processes
        return limit / (self.part_of(limit) or limit / self.processes)


class Shares:
    """Times in microseconds of one monotonic clock. `heard` and `open_slots` are kept up in good times too."""

    def __init__(self) -> None:
        self.heard: dict[str, float] = {}
        self.open_slots: dict[str, int] = {}
        self._own: dict[str, float] = {}
        self._owed: dict[str, float] = {}

    def hear(self, charges: Sequence[Charge], verdict: Verdict, now_us: float) -> None:
        """What Redis decided."""
        for (bound, _), state in zip(charges, verdict.states, strict=True):
            if bound.window_us:
                self.heard[bound.bucket] = now_us + state
            elif verdict.binding < 0:
                self.open_slots[bound.bucket] = self.open_slots.get(bound.bucket, 0) + 1

    def admit(self, charges: Sequence[Charge], place: Place, now_us: float) -> Verdict:
        """Decides without Redis."""
        states = [self._state(bound, now_us) for bound, _ in charges]
        worst, binding = -1.0, -1
        for index, ((bound, units), state) in enumerate(zip(charges, states, strict=True)):
            if not bound.window_us:
                if state >= int(place.part_of(bound.limit)) and worst < 0:
                    worst, binding = 0.0, index
                continue
            wait = wait_us(state, _own_cost(bound, units, place), bound.window_us)
            if wait > max(worst, 0.0):
                worst, binding = wait, index
        parts = [place.part_of(bound.limit) for bound, _ in charges]
        if binding >= 0:
            return Verdict(binding, worst, states, parts)
        taken = [self._take(charge, state, place, now_us) for charge, state in zip(charges, states, strict=True)]
        return Verdict(-1, 0.0, taken, parts)

    def correct(self, bound: Bound, units: int, place: Place, now_us: float) -> None:
        """As `Gate.correct`, while Redis is away."""
        cost = units * bound.unit_us * place.stretch(bound.limit)
        self._own[bound.bucket] = now_us + self._state(bound, now_us) + cost
        self.owe(bound.bucket, units * bound.unit_us)

    def owe(self, bucket: str, us: float) -> None:
        """Redis has yet to hear of so much."""
        self._owed[bucket] = self._owed.get(bucket, 0.0) + us

    def release(self, bound: Bound) -> None:
        left = self.open_slots.get(bound.bucket, 0) - 1
        if left > 0:
            self.open_slots[bound.bucket] = left
        else:
            self.open_slots.pop(bound.bucket, None)

    def take_what_redis_missed(self, now_us: float, *, is_new: bool) -> list[tuple[str, float, float]]:
        """Of each bucket: what was charged meanwhile, and how far ahead it was when last heard of. Then starts anew.

        Args:
            is_new: Redis has lost what it held; else it knows what was heard of it.
        """
        heard = self.heard if is_new else {}
        missed = [
            (bucket, self._owed.get(bucket, 0.0), max(heard.get(bucket, 0.0) - now_us, 0.0))
            for bucket in {*heard, *self._owed}
        ]
        self._own.clear()
        self._owed.clear()
        return [entry for entry in missed if entry[1] or entry[2]]

    def forget_what_passed(self, now_us: float) -> None:
        self.heard = {bucket: until for bucket, until in self.heard.items() if until > now_us}

    def _state(self, bound: Bound, now_us: float) -> float:
        if not bound.window_us:
            return self.open_slots.get(bound.bucket, 0)
        until = self._own.get(bound.bucket)
        if until is None:
            until = self.heard.get(bound.bucket, 0.0)
        return max(until - now_us, 0.0)

    def _take(self, charge: Charge, state: float, place: Place, now_us: float) -> float:
        bound, units = charge
        if not bound.window_us:
            self.open_slots[bound.bucket] = int(state) + 1
            return state + 1
        cost = _own_cost(bound, units, place)
        self._own[bound.bucket] = now_us + state + cost
        self.owe(bound.bucket, cost / place.stretch(bound.limit))
        return state + cost


def _own_cost(bound: Bound, units: int, place: Place) -> float:
    """A prompt of more tokens than the share has may come when nothing of the share is used."""
    cost = bound.unit_us * units * place.stretch(bound.limit)
    return min(cost, float(bound.window_us)) if bound.unit == TOKENS else cost
