"""Spending from leased slices, in memory: the half of the allowances that each process has for itself. Pure.

One thread owns it, that of the event loop; whoever carries errands to PostgreSQL (`ledger.leases`) tells it what came
of them.

    reserve ──► Reservation ──► close(actual)        no I/O: all scopes together, or none
    errands(now) ──► Ask    ──► granted | refused    before the slice runs out
                 ──► Return                          what was idle for 2 s, or is more than is needed
    renewed(now), lost()                             whether PostgreSQL still knows the process
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

IDLE_S = 2.0
VALID_S = 60.0
"""So long a process spends without PostgreSQL having said that its leases are still its own."""
ASK_AGAIN_AFTER_S = 0.25
"""After a refusal, unless a request is short of money."""
SLICE_OF_ESTIMATES = 32
"""How many requests like the largest of late a slice is meant for, at least."""
SLICE_S = 0.5
"""For so long a slice is meant to last, at the pace of late."""
TIGHT_S = 1.0
"""After a recall: for so long nothing is kept in reserve."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Lease about `wanted`, in multiples of `at_least`."""

    account_id: int
    wanted: int
    at_least: int


@dataclass(frozen=True, slots=True)
class Return:
    account_id: int
    amount: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """Nothing was reserved. `missing`: how much, by account; `is_stale`: the leases may not be ours any more."""

    missing: Mapping[int, int]
    is_stale: bool = False


@dataclass(slots=True)
class _Slice:
    """What this process has of one account. `reserved` is for requests in flight."""

    free: int = 0
    reserved: int = 0
    estimate: int = 0
    shortfall: int = 0
    used_at_s: float = 0.0
    quiet_until_s: float = 0.0
    tight_until_s: float = 0.0
    is_asking: bool = False
    wished: int = 0
    wished_since_s: float = 0.0
    pace: float = 0.0

    @property
    def aim(self) -> int:
        return max(self.estimate * SLICE_OF_ESTIMATES, int(self.pace * SLICE_S))

    def measure(self, now_s: float) -> None:
        """How much is reserved in a second, of late."""
        elapsed_s = now_s - self.wished_since_s
        if elapsed_s >= SLICE_S / 4:
            self.pace = (self.pace + self.wished / elapsed_s) / 2
            self.wished, self.wished_since_s = 0, now_s

    def is_idle(self, now_s: float) -> bool:
        return now_s - self.used_at_s >= IDLE_S

    def is_over(self, now_s: float) -> bool:
        return not (self.free or self.reserved or self.is_asking) and self.is_idle(now_s)

    def has_errand(self, now_s: float) -> bool:
        if self.is_asking:
            return False
        must_return = self.free > 0 and (now_s < self.tight_until_s or self.is_idle(now_s))
        return must_return or self.free > 2 * self.aim or self.wants_more(now_s)

    def wants_more(self, now_s: float) -> bool:
        if self.shortfall > 0:
            return True
        if now_s < self.tight_until_s:
            return False
        return self.free < self.aim // 2 and now_s >= self.quiet_until_s and not self.is_idle(now_s)


@dataclass(slots=True)
class Reservation:
    """Money for one request, in every scope. Close it once; closing it again changes nothing.

    `bounds`: by account, the most that it is charged.
    """

    _slices: Mapping[int, _Slice]
    bounds: Mapping[int, int]
    is_open: bool = field(default=True, init=False)

    def close(self, actual: Mapping[int, int], now_s: float) -> dict[int, int]:
        """Returns: what to charge, per account: the actual cost, at most what was reserved and at least nothing."""
        if not self.is_open:
            return {}
        self.is_open = False
        charges = {id: min(max(actual.get(id, 0), 0), bound) for id, bound in self.bounds.items()}
        for id, bound in self.bounds.items():
            part = self._slices[id]
            part.reserved -= bound
            part.free += bound - charges[id]
            part.used_at_s = now_s
        return charges


class Allowances:
    """All slices of one process."""

    def __init__(self, now_s: float) -> None:
        self._slices: dict[int, _Slice] = {}
        self._valid_until_s = now_s + VALID_S

    def reserve(self, bounds: Mapping[int, int], now_s: float) -> Reservation | Shortage:
        """Args: bounds: the most that a request can cost, by account: wallet, organisation's budget, key's budget."""
        missing = {id: short for id, bound in bounds.items() if (short := self._want(id, bound, now_s)) > 0}
        if missing or now_s >= self._valid_until_s:
            return Shortage(missing, now_s >= self._valid_until_s)
        for id, bound in bounds.items():
            part = self._slices[id]
            part.free -= bound
            part.reserved += bound
            part.wished += bound
        return Reservation({id: self._slices[id] for id in bounds}, dict(bounds))

    def errands(self, now_s: float) -> list[Ask | Return]:
        """What PostgreSQL is to be asked for and given back now. Ends with their asking being answered."""
        found = [self._errand(id, part, now_s) for id, part in self._slices.items()]
        self._slices = {id: part for id, part in self._slices.items() if not part.is_over(now_s)}
        return [errand for errand in found if errand is not None]

    def granted(self, ask: Ask, amount: int, now_s: float) -> None:
        """Zero is a refusal: less than `at_least` is free."""
        part = self._slices.setdefault(ask.account_id, _Slice())
        part.is_asking = False
        part.free += amount
        part.shortfall = 0
        if amount == 0:
            part.quiet_until_s = now_s + ASK_AGAIN_AFTER_S

    def failed(self, ask: Ask) -> None:
        """Nobody answered: whoever is short asks again."""
        if (part := self._slices.get(ask.account_id)) is not None:
            part.is_asking = False

    def recalled(self, account_id: int, now_s: float = 0.0) -> Return | None:
        """Somebody else needs it: what is not reserved goes back at once, and so does what becomes free soon after.

        Even when a request waits here for more: two processes that each kept a part would both refuse.
        """
        part = self._slices.get(account_id)
        if part is None:
            return None
        part.tight_until_s = now_s + TIGHT_S
        return None if part.free == 0 else _given_back(account_id, part, part.free)

    def recall(self, account_id: int, now_s: float) -> None:
        """As `recalled`, with the next errands."""
        if (part := self._slices.get(account_id)) is not None:
            part.tight_until_s = now_s + TIGHT_S

    @property
    def is_empty(self) -> bool:
        return not self._slices

    def has_errands(self, now_s: float) -> bool:
        """Whether `errands` would give any, or forget a slice."""
        return any(part.is_over(now_s) or part.has_errand(now_s) for part in self._slices.values())

    def close(self) -> list[Return]:
        """At the process's end, when no request is in flight any more."""
        returns = [self.recalled(id) for id in self._slices]
        return [errand for errand in returns if errand is not None]

    def renewed(self, at_s: float) -> None:
        """PostgreSQL knew the process at this time, taken before it was asked."""
        self._valid_until_s = max(self._valid_until_s, at_s + VALID_S)

    def lost(self) -> None:
        """PostgreSQL took the process for dead: what is free here is somebody else's. What is in flight will be
        charged without a lease. Begin again as a new lessee."""
        for part in self._slices.values():
            part.free = 0
        self._slices = {}

    def free(self, account_id: int) -> int:
        part = self._slices.get(account_id)
        return 0 if part is None else part.free

    def _want(self, id: int, bound: int, now_s: float) -> int:
        """Notes the wish. Returns: how much is missing."""
        if bound < 0:
            raise ValueError("a bound is not negative")
        part = self._slices.setdefault(id, _Slice())
        part.estimate = max(
            bound, part.estimate - part.estimate // 8
        )  # forgets a large request after some small ones
        part.used_at_s = now_s
        part.shortfall = max(part.shortfall, bound - part.free)
        return bound - part.free

    def _errand(self, id: int, part: _Slice, now_s: float) -> Ask | Return | None:
        if part.is_asking:
            return None
        part.measure(now_s)
        is_tight = now_s < part.tight_until_s
        if is_tight and part.free > 0:
            return _given_back(id, part, part.free)
        if part.wants_more(now_s):
            part.is_asking = True
            wanted = part.shortfall if is_tight else part.aim - part.free
            return Ask(id, wanted=wanted, at_least=part.shortfall or part.estimate)
        if part.free > 0 and part.is_idle(now_s):
            return _given_back(id, part, part.free)
        if part.free > 2 * part.aim:
            return _given_back(id, part, part.free - part.aim)
        return None


def _given_back(id: int, part: _Slice, amount: int) -> Return:
    part.free -= amount
    return Return(id, amount)
