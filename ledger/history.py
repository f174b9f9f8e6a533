"""How an account stood at moments of the past, found without adding up what has moved since.

Every entry says the balance after it, and the entries of an account are written in the order of time. So the one at
which a moment falls is searched for by halves: some thirty look-ups, however many entries there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

_STANDS = """
WITH RECURSIVE search AS (
    SELECT m.moment, m.number, s.low, s.high
    FROM unnest(%(moments)s::timestamptz[]) WITH ORDINALITY AS m (moment, number), (
        SELECT coalesce(min(id), 0) AS low, coalesce(max(id) + 1, 0) AS high
        FROM ledger_entry WHERE account_id = %(account)s
    ) s
    UNION ALL
    SELECT s.moment, s.number,
        CASE WHEN probe.posted_at < s.moment THEN probe.id + 1 ELSE s.low END,
        CASE WHEN probe.posted_at < s.moment THEN s.high ELSE (s.low + s.high) / 2 END
    FROM search s LEFT JOIN LATERAL (
        SELECT e.id, t.posted_at FROM ledger_entry e JOIN ledger_transfer t ON t.id = e.transfer_id
        WHERE e.account_id = %(account)s AND e.id >= (s.low + s.high) / 2 AND e.id < s.high
        ORDER BY e.id LIMIT 1
    ) probe ON true
    WHERE s.low < s.high
)
SELECT s.high, coalesce(before.balance_after, 0)
FROM search s LEFT JOIN LATERAL (
    SELECT balance_after FROM ledger_entry e WHERE e.account_id = %(account)s AND e.id < s.high
    ORDER BY e.id DESC LIMIT 1
) before ON true
WHERE s.low >= s.high ORDER BY s.number
"""


@dataclass(frozen=True, slots=True)
class Stand:
    """`balance` before anything of that moment or later. No entry of that time has an id below `first_id`."""

    first_id: int
    balance: int


def stands_at(account_id: int, moments: Sequence[datetime]) -> list[Stand]:
    """One for each moment, in the same order; all of one snapshot.

    A transfer says when its transaction began: of those that ran at once right at a moment, one may count on the
    other side of it. Nothing is counted twice or left out by that.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STANDS, {"account": account_id, "moments": [*moments]})
        return [Stand(*row) for row in cursor.fetchall()]
