"""Whom this process has asked to give back what they do not use, and who has. Values; the treasury is whose they are.

    refused ──► due ──► Recall 7 ──► those who hold of the account give back what is idle ──► heeded 7
       ▲                                                                                        │
       └── refused again: for requests that have waited since before 7, nothing idle is left ◄──┘

That PostgreSQL has nothing left says nothing while somebody keeps what nobody needs. So a refusal counts only once
all who hold of the account have heeded a recall that was sent after the request began to wait, however long they
take. One that has not been seen for `leases.SILENT_S` is not waited for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import msgspec

RECALL_EVERY_S = 0.05
MOST_NAMED = 150
"""Of PostgreSQL's 8,000 bytes for a message. Whoever was not named is named by the next one."""


class Recall(msgspec.Struct, frozen=True, gc=False):
    """`by` is the lessee that is short; `number` counts those of its process; `of` are the lessees that are to say
    when they have heeded it. All others give back as well."""

    account_id: int
    by: str
    number: int
    of: tuple[str, ...] = ()


class Heeded(msgspec.Struct, frozen=True, gc=False):
    """`lessee` has given back what was idle, for the recall `number` of `by`."""

    account_id: int
    by: str
    number: int
    lessee: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """`heeded`: whoever else held something of the account had heeded this recall, before PostgreSQL was asked."""

    at_s: float
    heeded: float
    waiting_for: tuple[str, ...]


class Recalls:
    """Of one process."""

    def __init__(self) -> None:
        self.last = 0
        self.owed: list[Recall] = []
        """By others; they are told once this process has given back."""
        self._sent_at_s: dict[int, float] = {}
        self._refusals: dict[int, Refusal] = {}
        self._heeded: dict[int, dict[str, int]] = {}

    def refusal_of(self, account_id: int) -> Refusal | None:
        """The last one, unless something was granted since."""
        return self._refusals.get(account_id)

    @property
    def refused(self) -> Iterable[int]:
        return self._refusals.keys()

    def granted(self, account_id: int) -> None:
        self._refusals.pop(account_id, None)

    def refuse(self, account_id: int, holders: Iterable[str], now_s: float) -> None:
        """Args: holders: who else held of it when PostgreSQL refused, and is alive."""
        heeded = self._heeded.get(account_id, {})
        known = {holder: heeded.get(holder, 0) for holder in holders}
        self._heeded[account_id] = known
        latest = sorted(known, key=known.__getitem__)
        self._refusals[account_id] = Refusal(now_s, min(known.values(), default=inf), tuple(latest))

    def due(self, accounts: Iterable[int], by: str, now_s: float) -> list[Recall]:
        found = []
        for account_id in accounts:
            if now_s - self._sent_at_s.get(account_id, 0.0) < RECALL_EVERY_S:
                continue
            self._sent_at_s[account_id] = now_s
            self.last += 1
            refusal = self._refusals.get(account_id)
            of = refusal.waiting_for[:MOST_NAMED] if refusal is not None else ()
            found.append(Recall(account_id, by, self.last, of))
        return found

    def hear(self, heeded: Iterable[Heeded], own: Iterable[str]) -> None:
        """What answers recalls of others is not for us."""
        mine = frozenset(own)
        for one in heeded:
            if one.by in mine and one.account_id in self._refusals:
                self._heeded.setdefault(one.account_id, {})[one.lessee] = one.number

    def owe(self, recalled: Iterable[Recall], own: Iterable[str]) -> None:
        mine = frozenset(own)
        self.owed += [one for one in recalled if mine.intersection(one.of)]

    def pay(self, own: Iterable[str]) -> list[Heeded]:
        """What to say of those that this process is about to have heeded."""
        mine = frozenset(own)
        said = [
            Heeded(one.account_id, one.by, one.number, lessee)
            for one in self.owed
            for lessee in one.of
            if lessee in mine
        ]
        self.owed = []
        return said
