"""What must hold of the ledger at any moment, each proven by one query over all of it.

Each is read in a snapshot of its own, so that postings meanwhile disturb nothing, and no snapshot is older than one
query takes. Rooms above add what must hold of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db import connection, transaction

from ledger.kept import broken_rules

WORST = 100
"""So many findings are told per invariant; there is rarely a second one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: the invariant ("I3"), what it is about, and the figures."""

    invariant: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Invariant:
    """`query` selects two texts per violation, subject and detail."""

    name: str
    says: str
    query: str


INVARIANTS = (
    Invariant(
        "I1",
        "all entries of a currency sum to zero",
        """
        SELECT a.currency, 'sum is ' || sum(e.amount) FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
        GROUP BY a.currency HAVING sum(e.amount) <> 0
        """,
    ),
    Invariant(
        "I2",
        "each transfer has entries, which sum to zero",
        """
        SELECT t.business_id, coalesce(a.currency || ' sum is ' || sum(e.amount), 'has no entries')
        FROM ledger_transfer t LEFT JOIN ledger_entry e ON e.transfer_id = t.id
        LEFT JOIN ledger_account a ON a.id = e.account_id
        GROUP BY t.id, a.currency HAVING sum(e.amount) IS DISTINCT FROM 0
        """,
    ),
    Invariant(
        "I3",
        "a balance is the sum of its account's entries, and so is the balance after each of them",
        """
        SELECT 'account ' || a.id, 'balance is ' || a.balance || ', entries sum to ' || coalesce(sum(e.amount), 0)
        FROM ledger_account a LEFT JOIN ledger_entry e ON e.account_id = a.id
        GROUP BY a.id HAVING a.balance <> coalesce(sum(e.amount), 0)
        UNION ALL
        SELECT 'account ' || account_id, 'after entry ' || id || ' it is ' || balance_after || ', not ' || running
        FROM (SELECT id, account_id, balance_after,
                     sum(amount) OVER (PARTITION BY account_id ORDER BY id) AS running FROM ledger_entry) e
        WHERE balance_after <> running
        """,
    ),
    Invariant(
        "I4",
        "a prepaid account has what it holds, and nothing holds less than nothing",
        """
        SELECT 'account ' || id, 'balance is ' || balance || ', held ' || held FROM ledger_account
        WHERE held < 0 OR (is_prepaid AND balance < held)
        """,
    ),
    Invariant(
        "I6",
        "each hold ends at most once, and what is held is what open holds and leases say",
        """
        SELECT 'account ' || a.id, 'held is ' || a.held || ', holds and leases sum to ' || s.total
        FROM ledger_account a CROSS JOIN LATERAL (
            SELECT coalesce((SELECT sum(amount) FROM ledger_hold WHERE account_id = a.id AND state = 'reserved'), 0)
                 + coalesce((SELECT sum(amount) FROM ledger_lease WHERE account_id = a.id), 0) AS total
        ) s WHERE a.held <> s.total
        UNION ALL
        SELECT 'hold ' || h.business_id, 'captured ' || h.amount || ' at most, taken ' || -e.amount
        FROM ledger_hold h JOIN ledger_entry e ON e.transfer_id = h.transfer_id AND e.account_id = h.account_id
        WHERE -e.amount > h.amount
        UNION ALL
        SELECT 'hold ' || business_id, 'is ' || state || ', ended ' || coalesce(ended_at::text, 'never')
        FROM ledger_hold
        WHERE (state = 'reserved') <> (ended_at IS NULL) OR (state = 'captured') <> (transfer_id IS NOT NULL)
        """,
    ),
    Invariant(
        "I10",
        "transfers, entries and audit events say what they said when they were written",
        r"""
        SELECT t.business_id, 'does not fit its digest' FROM ledger_transfer t
        WHERE t.digest <> sha256(convert_to(
            concat_ws(E'\n', t.business_id, t.kind, coalesce(t.price_version::text, ''), t.reason,
                      coalesce(t.reverses_id::text, ''),
                      (SELECT string_agg(e.account_id || ':' || e.amount, ',' ORDER BY e.account_id, e.amount)
                       FROM ledger_entry e WHERE e.transfer_id = t.id)), 'UTF8'))
        UNION ALL
        SELECT t.business_id, 'entry ' || e.id || ' has the kind ' || e.kind
        FROM ledger_entry e JOIN ledger_transfer t ON t.id = e.transfer_id WHERE e.kind <> t.kind
        """,
    ),
)


_RULES = INVARIANTS[-1]
_further: list[Invariant] = []


def register(invariants: Sequence[Invariant]) -> None:
    """Adds what must hold of another room's tables."""
    _further.extend(invariants)


def all_invariants() -> list[Invariant]:
    """In the order of their numbers."""
    kept = replace(_RULES, query=f"{_RULES.query} UNION ALL {broken_rules()}")
    return sorted((*INVARIANTS[:-1], kept, *_further), key=lambda invariant: int(invariant.name[1:]))


def reconcile() -> list[Finding]:
    """Returns: what does not hold, at most 100 per invariant; nothing is repaired.

    A repair is a transfer that compensates, and somebody's decision.
    """
    return [finding for invariant in all_invariants() for finding in violations_of(invariant)]


def violations_of(invariant: Invariant) -> list[Finding]:
    with transaction.atomic(), connection.cursor() as cursor:
        if not connection.savepoint_ids:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute(f"SELECT * FROM ({invariant.query}) AS violations LIMIT {WORST}")  # noqa: S608  constants
        return [Finding(invariant.name, subject, detail) for subject, detail in cursor.fetchall()]
