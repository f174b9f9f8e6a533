"""Slices of accounts, leased to processes that spend them in memory. PostgreSQL's half of the allowances.

What a process has leased is held, so it is nobody else's, until the process gives it back, settlement posts what was
spent of it, or the process is dead. Asks a cursor, not Django's models. Time is PostgreSQL's own, so that no two
clocks differ.

Locks are taken in this order: the process's own row, accounts by id, leases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from ledger.allowances import Ask, Return
from ledger.drafts import Draft
from ledger.posting import Cursor, LockedAccount, Posted, Release, lock_accounts, post_all

SHARE = 8
"""A slice is at most this part of what is free, so that the last of it is spread thin, not stuck in one process."""
JOURNAL_LOST_AFTER_S = 3600
"""Of a process that was not seen for so long, with nobody having replayed its journal, both are lost. Longer than a
process spends without being seen (`allowances.VALID_S`) and the longest request together."""
SILENT_S = 30
"""A process that was not seen for so long keeps nobody waiting for what it may have idle. Three times as long as it
takes one that lives to be seen again (`metering.teller.RENEW_EVERY_S`)."""

BEGIN = "INSERT INTO ledger_lessee (id, journal) VALUES (%s, %s)"
RENEW = "UPDATE ledger_lessee SET seen_at = now() WHERE id = %s AND drained_at IS NULL"
LOCK_LESSEE = "SELECT FROM ledger_lessee WHERE id = %s AND drained_at IS NULL FOR KEY SHARE"
LEASE = """
WITH slice AS (
    SELECT id, least(%(wanted)s::bigint, (balance - held) / %(share)s) AS part, %(least)s::bigint AS least,
           NOT is_prepaid OR balance - held >= %(least)s::bigint AS is_enough
    FROM ledger_account WHERE id = %(account)s FOR NO KEY UPDATE
), granted AS (
    UPDATE ledger_account AS a SET held = held + s.least * greatest(1, s.part / s.least)
    FROM slice AS s WHERE a.id = s.id AND s.is_enough
    RETURNING a.id, s.least * greatest(1, s.part / s.least) AS amount
)
INSERT INTO ledger_lease AS l (lessee_id, account_id, amount) SELECT %(lessee)s, id, amount FROM granted
ON CONFLICT (lessee_id, account_id) DO UPDATE SET amount = l.amount + excluded.amount
RETURNING (SELECT amount FROM granted)
"""
TAKE = """
WITH asked AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[]) AS t (account_id, amount)), before AS (
    SELECT l.id, l.account_id, least(l.amount, asked.amount) AS taken
    FROM ledger_lease l JOIN asked USING (account_id) WHERE l.lessee_id = %s ORDER BY l.id FOR NO KEY UPDATE OF l
)
UPDATE ledger_lease l SET amount = l.amount - before.taken FROM before WHERE l.id = before.id
RETURNING before.account_id, before.taken
"""
FREE = """
UPDATE ledger_account SET held = held - t.amount
FROM unnest(%s::bigint[], %s::bigint[]) AS t (id, amount) WHERE ledger_account.id = t.id
"""
DRAINED = "UPDATE ledger_lessee SET drained_at = now() WHERE id = %s AND drained_at IS NULL"
JOURNAL_DRAINED = "UPDATE ledger_lessee SET drained_at = now() WHERE journal = %s AND drained_at IS NULL"
STANDS = "SELECT balance, held FROM ledger_account WHERE id = %s"
HELD_BY = "SELECT account_id, amount FROM ledger_lease WHERE lessee_id = %s AND account_id = ANY(%s)"
HOLDERS = """
SELECT l.lessee_id FROM ledger_lease l JOIN ledger_lessee p ON p.id = l.lessee_id
WHERE l.account_id = %s AND l.amount > 0 AND l.lessee_id <> %s AND p.seen_at > now() - make_interval(secs => %s)
"""
DEAD = """
SELECT id FROM ledger_lessee
WHERE drained_at IS NOT NULL OR seen_at < now() - make_interval(secs => %s)
ORDER BY id FOR UPDATE SKIP LOCKED
"""
LEASES_OF = "SELECT account_id, amount FROM ledger_lease WHERE lessee_id = ANY(%s)"


def begin(cursor: Cursor, lessee: UUID, journal: str = "") -> None:
    """Args: journal: the name of the one that what is spent will be written to; whoever replays it tells by it."""
    cursor.execute(BEGIN, (lessee, journal))


def renew(cursor: Cursor, lessee: UUID) -> bool:
    """Says that the process lives. False: it was taken for dead, and what it had leased is no longer its own."""
    cursor.execute(RENEW, (lessee,))
    return cursor.rowcount == 1


def lease(cursor: Cursor, lessee: UUID, account_id: int, *, wanted: int, at_least: int) -> int:
    """Returns: what is leased now in addition, a multiple of `at_least` and about `wanted`; 0 if less is free.

    A slice is never more than 1/8 of what is free, down to exactly one `at_least`.
    """
    cursor.execute(LOCK_LESSEE, (lessee,))
    if cursor.fetchone() is None:
        return 0
    asked = {"wanted": wanted, "least": at_least, "share": SHARE, "account": account_id, "lessee": lessee}
    cursor.execute(LEASE, asked)
    row = cursor.fetchone()
    return 0 if row is None else int(row[0])


def stands(cursor: Cursor, account_id: int) -> tuple[int, int]:
    """What an account has and holds."""
    cursor.execute(STANDS, (account_id,))
    balance, held = cursor.fetchone()
    return int(balance), int(held)


def held_by(cursor: Cursor, lessee: UUID, account_ids: Iterable[int]) -> dict[int, int]:
    """How much of each is leased to it; read it under the accounts' locks."""
    cursor.execute(HELD_BY, (lessee, list(account_ids)))
    return dict(cursor.fetchall())


def other_holders(cursor: Cursor, lessee: UUID, account_id: int) -> list[UUID]:
    """Who else has something of it, and was seen of late; read it under the account's lock."""
    cursor.execute(HOLDERS, (account_id, lessee, SILENT_S))
    return [row[0] for row in cursor.fetchall()]


def give_back(cursor: Cursor, lessee: UUID, amounts: Mapping[int, int]) -> None:
    """Of each account so much, at most what is leased."""
    lock_accounts(cursor, amounts)
    _free(cursor, _take(cursor, lessee, amounts))


def run(cursor: Cursor, lessee: UUID, errands: Sequence[Ask | Return]) -> list[tuple[Ask, int]]:
    """Carries out what a process's allowances want, in one transaction. Returns: what was granted to each `Ask`."""
    cursor.execute(LOCK_LESSEE, (lessee,))
    lock_accounts(cursor, {errand.account_id for errand in errands})
    back: dict[int, int] = {}
    for errand in errands:
        if isinstance(errand, Return):
            back[errand.account_id] = back.get(errand.account_id, 0) + errand.amount
    if back:
        give_back(cursor, lessee, back)
    asks = [errand for errand in errands if isinstance(errand, Ask)]
    return [(ask, lease(cursor, lessee, ask.account_id, wanted=ask.wanted, at_least=ask.at_least)) for ask in asks]


def settle(cursor: Cursor, lessee: UUID, spent: Mapping[int, int], drafts: Iterable[Draft]) -> list[Posted]:
    """Posts what was spent, and takes it out of the process's leases; what was reaped already is not taken again.

    Call it once per fact: in the transaction that records the usage, with what was not recorded before.
    Raises: as `posting.post_all`.
    """
    return settle_all(cursor, {lessee: spent}, drafts)


def settle_all(
    cursor: Cursor,
    spent: Mapping[UUID, Mapping[int, int]],
    drafts: Iterable[Draft],
    locked: Mapping[int, LockedAccount] | None = None,
) -> list[Posted]:
    """As `settle`, of several processes at once: by lessee and account. `locked` as of `posting.post_all`."""

    def end(cursor: Cursor) -> dict[int, int]:
        taken: dict[int, int] = {}
        for lessee in sorted(spent):
            for account_id, amount in _take(cursor, lessee, spent[lessee]).items():
                taken[account_id] = taken.get(account_id, 0) + amount
        return taken

    return post_all(cursor, drafts, Release({id for amounts in spent.values() for id in amounts}, end), locked)


def drained(cursor: Cursor, lessee: UUID) -> None:
    """The process has ended, which the lock on its journal proves, and all that it spent is settled."""
    cursor.execute(DRAINED, (lessee,))


def journal_drained(cursor: Cursor, journal: str) -> None:
    """As `drained`, of all lessees that wrote to a journal, which nobody will write to again."""
    cursor.execute(JOURNAL_DRAINED, (journal,))


def reap(cursor: Cursor, *, lost_after_s: float = JOURNAL_LOST_AFTER_S) -> list[UUID]:
    """Frees what dead processes leased: those that are drained, and those not seen for so long that their journal
    must be lost. Returns: which.
    """
    cursor.execute(DEAD, (lost_after_s,))
    dead = [row[0] for row in cursor.fetchall()]
    # Their rows are locked: nothing is leased to them any more, so what is read here is all there is.
    cursor.execute(LEASES_OF, (dead,))
    lock_accounts(cursor, {account_id for account_id, _ in cursor.fetchall()})
    for lessee in dead:
        _bury(cursor, lessee)
    return dead


def _bury(cursor: Cursor, lessee: UUID) -> None:
    cursor.execute(LEASES_OF, ([lessee],))
    give_back(cursor, lessee, dict(cursor.fetchall()))
    cursor.execute("DELETE FROM ledger_lease WHERE lessee_id = %s", (lessee,))
    cursor.execute("DELETE FROM ledger_lessee WHERE id = %s", (lessee,))


def _take(cursor: Cursor, lessee: UUID, amounts: Mapping[int, int]) -> dict[int, int]:
    cursor.execute(TAKE, (list(amounts), list(amounts.values()), lessee))
    return dict(cursor.fetchall())


def _free(cursor: Cursor, amounts: Mapping[int, int]) -> None:
    cursor.execute(FREE, (list(amounts), list(amounts.values())))
