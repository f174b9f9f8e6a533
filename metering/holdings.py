"""What the treasury gives to a request: money and tokens of its budgets, or the reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

from accounts.scopes import MODEL, TOKENS
from ledger.allowances import Reservation
from metering.budgets import PURSE, Budget
from metering.recalls import Refusal
from metering.rounds import OpenWindow, Stand

PATIENCE_S = 0.2
"""So long at least a request waits for what others do not use before it is refused; longer for one that is slow."""

Wish = tuple[Budget, int]
"""A budget and the most that a request can take of it."""


@dataclass(slots=True, eq=False)
class Lessee:
    """This process, as PostgreSQL knows it. `in_flight`: requests that hold of its leases.

    `shipped_at`: the place in the journal up to which all that they spent is written, once nothing is in flight.
    """

    id: UUID
    in_flight: int = 0
    shipped_at: int | None = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = str(self.id)


@dataclass(slots=True)
class Known:
    """A budget's window, as of the amount that the snapshot had."""

    budget: Budget
    window: OpenWindow
    stand: Stand

    @property
    def is_too_full(self) -> bool:
        return self.window.amount is not None and self.stand.allotted > self.window.amount


@dataclass(frozen=True, slots=True)
class Short:
    """Nothing was held. `stands`: of each budget that does not cover the request, how its window stands, if known.

    `is_away`: PostgreSQL did not answer in time, so that nobody knows.
    """

    stands: dict[str, Stand | None]
    is_away: bool = False


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that memory did not cover. `recall`: the last one that was sent before it began to wait."""

    wishes: Sequence[Wish]
    answer: asyncio.Future[Holding | Short]
    since_s: float
    recall: int
    is_patient: bool
    refused_since_s: float | None = None

    def is_refused(self, refusal: Refusal, now_s: float) -> bool:
        """Whether PostgreSQL's refusal is final: others have had their time, and have given back what was idle."""
        if refusal.at_s < self.since_s:
            return False
        if self.refused_since_s is None:
            self.refused_since_s = now_s
        return now_s - self.refused_since_s >= PATIENCE_S and refusal.heeded > self.recall


class Holding:
    """Of one request, in each of its budgets. `close` it once; closing it again gives nothing.

    `uncovered` budgets only warn: what is spent of them is charged although nothing was held.
    """

    __slots__ = ("_budgets", "_lessee", "_on_close", "_reservation", "_uncovered")

    def __init__(
        self,
        lessee: Lessee,
        reservation: Reservation,
        budgets: Sequence[tuple[Budget, int]],
        on_close: Callable[[Lessee], None],
    ) -> None:
        """Args: budgets: with the account of each."""
        self._lessee = lessee
        self._reservation = reservation
        self._budgets = budgets
        self._uncovered: Sequence[tuple[Budget, int]] = ()
        self._on_close = on_close

    @property
    def lessee(self) -> str:
        return self._lessee.name

    def charge_too(self, uncovered: Sequence[tuple[Budget, int]]) -> None:
        self._uncovered = uncovered

    def close(self, nanos: int, tokens: int, model: str, *, is_sold: bool = False) -> tuple[tuple[int, int], ...]:
        """
        Args:
            model: that was served; the budgets of others are not charged.
            is_sold: somebody else is to be paid for it, out of the purses, the first of them first.

        Returns:
            Accounts, with amounts above 0.
        """
        if not self._reservation.is_open:
            return ()
        charges = self._reservation.close(dict(self._parts(nanos, tokens, model, is_sold)), monotonic())
        for budget, account in self._uncovered:
            charges[account] = _part(budget, nanos, tokens, model)
        self._on_close(self._lessee)
        return tuple((account, amount) for account, amount in charges.items() if amount > 0)

    def so_far(self, nanos: int, tokens: int, model: str, *, is_sold: bool = False) -> tuple[tuple[int, int], ...]:
        """What `close` would give, for a checkpoint of a request that goes on."""
        parts = self._parts(nanos, tokens, model, is_sold)
        parts += [(account, _part(budget, nanos, tokens, model)) for budget, account in self._uncovered]
        return tuple((account, amount) for account, amount in parts if amount > 0)

    def _parts(self, nanos: int, tokens: int, model: str, is_sold: bool) -> list[tuple[int, int]]:
        """What each account pays, at most what is held of it."""
        bounds, owed = self._reservation.bounds, nanos if is_sold else 0
        parts = []
        for budget, account in self._budgets:
            if budget.scope == PURSE:
                part = min(owed, bounds[account])
                owed -= part
            else:
                part = min(_part(budget, nanos, tokens, model), bounds[account])
            parts.append((account, part))
        return parts


def _part(budget: Budget, nanos: int, tokens: int, model: str) -> int:
    if budget.scope == MODEL and budget.subject != model:
        return 0
    return tokens if budget.unit == TOKENS else nanos
