"""A machine's price that was put right: what its owner's lots then hold, those of the days of the settlements.

A raised share goes to the escrow, whatever the programme. A lowered one is taken out of the lot as long as it waits
there; what has matured, was exchanged or was given stays earned, and the platform bears it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

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
    """In nano-USD: what waits in its escrow, and how a correction changes it."""

    id: int
    waiting: int
    paid: int = 0
    raised: int = 0
    taken: int = 0

    def correct(self, paid: int, owner: int) -> int:
        """Args: what was paid in addition, and is due to the owner; negative for less.

        Returns: what the owner gets of it, or loses: no more than waits."""
        owner = max(owner, -self.waiting)
        self.paid += paid
        self.waiting += owner
        self.raised += max(owner, 0)
        self.taken += max(-owner, 0)
        return owner


def lock_lots(cursor: Cursor, owner_id: int, target_id: int, settlements: Collection[int]) -> dict[int, OpenLot]:
    """By the transfer that settled the requests. Lock the accounts first."""
    cursor.execute(LOCK_LOTS, (owner_id, target_id, list(settlements)))
    lots: dict[int, OpenLot] = {}
    found = {}
    for transfer_id, lot_id, waiting in cursor.fetchall():
        found[transfer_id] = lots.setdefault(lot_id, OpenLot(lot_id, waiting))
    return found


def keep(cursor: Cursor, lots: Iterable[OpenLot]) -> None:
    by_id = {lot.id: lot for lot in lots}.values()
    rows = [(lot.id, lot.paid, lot.raised, lot.taken) for lot in by_id]
    cursor.execute(KEEP, [list(column) for column in zip(*rows, strict=True)])
