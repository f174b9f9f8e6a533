"""What a treasury asks of PostgreSQL at a time, and what it hears. Values; whoever carries them is a `Carrier`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import msgspec

from ledger.allowances import Ask, Return
from metering.budgets import Budget
from metering.recalls import Heeded, Recall


class Stand(msgspec.Struct, frozen=True, gc=False):
    """How a window stood when PostgreSQL was last asked."""

    account_id: int
    allotted: int
    overrun: int
    balance: int
    held: int

    @property
    def used(self) -> int:
        return self.allotted - self.balance + self.overrun


class OpenWindow(msgspec.Struct, frozen=True, gc=False):
    """`amount` is what the budget said when this was read; None: there is no such budget any more."""

    account_id: int
    ends_at_s: float
    amount: int | None
    stand: Stand


@dataclass(frozen=True, slots=True)
class Round:
    """What is to be done at once. `heeded` is told once the errands are done. `drained` are earlier lessees of this
    process, all of whose spending is settled."""

    lessee: UUID
    opens: tuple[Budget, ...] = ()
    errands: tuple[Ask | Return, ...] = ()
    refresh: tuple[int, ...] = ()
    recalls: tuple[Recall, ...] = ()
    heeded: tuple[Heeded, ...] = ()
    drained: tuple[UUID, ...] = ()


@dataclass(slots=True)
class Answers:
    """`stands`: how accounts stand that nothing was granted of, and `holders` who else held of them then, of those
    that live. `recalled`: what others are short of; `heeded`: who gave back, whoever asked for it."""

    began_s: float
    is_known: bool = True
    opened: list[tuple[Budget, OpenWindow]] = field(default_factory=list)
    granted: list[tuple[Ask, int]] = field(default_factory=list)
    stands: dict[int, Stand] = field(default_factory=dict)
    holders: dict[int, list[str]] = field(default_factory=dict)
    recalled: list[Recall] = field(default_factory=list)
    heeded: list[Heeded] = field(default_factory=list)


class Carrier(Protocol):
    """Blocking; one round at a time. `metering.teller` is the one that asks PostgreSQL."""

    @property
    def fileno(self) -> int | None: ...
    def run(self, todo: Round) -> Answers: ...
    def has_begun(self, lessee: UUID) -> bool: ...
    def close(self) -> None: ...
