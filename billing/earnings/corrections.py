"""A machine's price that was put right: what its owner's lots then hold, those of the days of the settlements.

A raised share goes to the escrow, whatever the programme. A lowered one is taken out of the lot as long as it waits
there; what has matured, was exchanged or was given stays earned, and the platform bears it. Of what a case took back
`billing.earnings.givenback` takes care.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from billing.earnings import givenback
from billing.earnings.givenback import GivenBack
from ledger.posting import Cursor

LOCK_LOTS = """
SELECT t.id, l.id, l.escrow - l.matured - l.taken_escrow FROM earnings_lot l
JOIN ledger_transfer t ON (t.posted_at AT TIME ZONE 'UTC')::date = l.day
WHERE l.org_id = %s AND l.target_id = %s AND t.id = ANY(%s) ORDER BY l.id FOR UPDATE OF l
"""
KEEP = """
UPDATE earnings_lot l SET paid = l.paid + n.paid, earned = l.earned + n.raised, escrow = l.escrow + n.raised,
    taken = l.taken + n.taken, taken_escrow = l.taken_escrow + n.taken
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) AS n (id, paid, raised, taken) WHERE l.id = n.id
"""


@dataclass(slots=True)
class OpenLot:
    """In nano-USD: what waits in its escrow, and how a correction changes it.

    What a case took of the escrow waits as well, for the case takes its part of what is left anew.
    """

    id: int
    waiting: int
    case: GivenBack | None = None
    paid: int = 0
    raised: int = 0
    lowered: int = 0

    def correct(self, payer: int, settlement: int, paid: int, owner: int) -> int:
        """Of a request of that payer. Args: what was paid in addition, and is due to the owner; negative for less.

        Returns: what the owner gets of it, or loses: no more than waits."""
        owner = max(owner, -self.waiting)
        self.paid += paid
        self.waiting += owner
        self.raised += max(owner, 0)
        self.lowered += max(-owner, 0)
        if self.case is not None:
            self.case.note(payer, settlement, paid, owner)
        return owner

    @property
    def taken(self) -> int:
        """More, or less, than before."""
        return self.lowered + (0 if self.case is None else self.case.taken_more(self.waiting))


def lock_lots(
    cursor: Cursor, owner_id: int, target_id: int, settlements: Collection[int], escrow: int
) -> dict[int, OpenLot]:
    """By the transfer that settled the requests. Lock the accounts first. Args: escrow: the owner's account."""
    cursor.execute(LOCK_LOTS, (owner_id, target_id, list(settlements)))
    rows = cursor.fetchall()
    given_back = givenback.lock_cases(cursor, {lot_id for _, lot_id, _ in rows}, escrow)
    lots: dict[int, OpenLot] = {}
    found = {}
    for transfer_id, lot_id, waiting in rows:
        case = given_back.get(lot_id)
        again = case.taken if case else 0
        found[transfer_id] = lots.setdefault(lot_id, OpenLot(lot_id, waiting + again, case))
    return found


def keep(cursor: Cursor, lots: Iterable[OpenLot]) -> None:
    rows = [(lot.id, lot.paid, lot.raised, lot.taken) for lot in lots]
    cursor.execute(KEEP, [list(column) for column in zip(*rows, strict=True)])
