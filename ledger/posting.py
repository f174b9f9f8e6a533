"""Posts drafts, many in six statements. Asks a cursor, not Django's models: whoever calls it owns the transaction.

Locks are taken in one order everywhere: business ids sorted, then accounts by id. Post once per transaction, with all
there is, and two transactions never wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from common.money import MAX_NANOS
from ledger.drafts import Draft
from ledger.errors import BusinessIdReused, InvalidTransfer, NotCovered

INSERT_TRANSFERS = """
INSERT INTO ledger_transfer (business_id, kind, price_version, reason, reverses_id, digest)
SELECT * FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[], %s::bigint[], %s::bytea[])
ON CONFLICT (business_id) DO NOTHING RETURNING id, business_id
"""
FIND_TRANSFERS = "SELECT id, business_id, digest FROM ledger_transfer WHERE business_id = ANY(%s)"
LOCK_ACCOUNTS = """
SELECT id, currency, is_prepaid, balance, held FROM ledger_account WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
INSERT_ENTRIES = """
INSERT INTO ledger_entry (transfer_id, account_id, amount, balance_after, kind)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[])
"""
UPDATE_ACCOUNTS = """
UPDATE ledger_account SET balance = new.balance, held = new.held
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS new (id, balance, held) WHERE ledger_account.id = new.id
"""


class Cursor(Protocol):
    """psycopg's or Django's, inside a transaction at READ COMMITTED."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, query: Any, params: Any = ..., /) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def fetchone(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Posted:
    """`is_new` is False for a replay: the transfer was there already, and nothing has moved."""

    id: int
    business_id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Release:
    """What stops being held in the same breath, so that the money is never free in between.

    Args:
        account_ids: where; they are locked first.
        end: ends the holds or leases and tells how much each account holds less.
    """

    account_ids: Collection[int]
    end: Callable[[Cursor], Mapping[int, int]]


@dataclass(slots=True)
class LockedAccount:
    id: int
    currency: str
    is_prepaid: bool
    balance: int
    held: int

    def add(self, amount: int) -> int:
        """Returns the balance after. Raises: NotCovered, InvalidTransfer."""
        after = self.balance + amount
        if abs(after) > MAX_NANOS:
            raise InvalidTransfer("The balance would be larger than what can be counted.")
        if self.is_prepaid and amount < 0 and after < self.held:
            raise NotCovered(self.id, -amount)
        self.balance = after
        return after


def post_all(
    cursor: Cursor,
    drafts: Iterable[Draft],
    release: Release | None = None,
    locked: Mapping[int, LockedAccount] | None = None,
) -> list[Posted]:
    """Posts in the order of the business ids; each transfer once, however often and by whomever it is tried.

    `release` happens in any case, for the caller knows whether it did already. `locked` are accounts that the caller
    has locked in this transaction, all that are touched; it does not use them afterwards.

    Returns: one per distinct draft, sorted by business id.
    Raises: BusinessIdReused: an id stands for something else. InvalidTransfer. NotCovered. The transaction is then
        the caller's to roll back.
    """
    ordered = _distinct(drafts)
    fresh = _insert_transfers(cursor, ordered)
    known = _known_transfers(cursor, [draft for draft in ordered if draft.business_id not in fresh])
    new = [draft for draft in ordered if draft.business_id in fresh]
    touched = {account for draft in new for account in draft.moves}
    touched.update(release.account_ids if release else ())
    accounts = lock_accounts(cursor, touched) if locked is None else {id: locked[id] for id in sorted(touched)}
    if release:
        for account, amount in release.end(cursor).items():
            accounts[account].held -= amount
    _insert_entries(cursor, new, fresh, accounts)
    _update(cursor, accounts)
    ids = fresh | known
    return [Posted(ids[draft.business_id], draft.business_id, draft.business_id in fresh) for draft in ordered]


def lock_accounts(cursor: Cursor, ids: Iterable[int]) -> dict[int, LockedAccount]:
    """In the order of their ids. Raises: InvalidTransfer: one of them is not there."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    cursor.execute(LOCK_ACCOUNTS, (wanted,))
    locked = {row[0]: LockedAccount(*row) for row in cursor.fetchall()}
    if len(locked) < len(wanted):
        raise InvalidTransfer("An account of the transfer does not exist.")
    return locked


def _distinct(drafts: Iterable[Draft]) -> list[Draft]:
    by_id: dict[str, Draft] = {}
    for draft in drafts:
        if by_id.setdefault(draft.business_id, draft).digest() != draft.digest():
            raise BusinessIdReused(metadata={"business_id": draft.business_id})
    return [by_id[business_id] for business_id in sorted(by_id)]


def _insert_transfers(cursor: Cursor, drafts: Sequence[Draft]) -> dict[str, int]:
    if not drafts:
        return {}
    columns = zip(*(draft.as_tuple() for draft in drafts), strict=True)
    cursor.execute(INSERT_TRANSFERS, [list(column) for column in columns])
    return {business_id: id for id, business_id in cursor.fetchall()}


def _known_transfers(cursor: Cursor, drafts: Sequence[Draft]) -> dict[str, int]:
    if not drafts:
        return {}
    cursor.execute(FIND_TRANSFERS, ([draft.business_id for draft in drafts],))
    found = {business_id: (id, bytes(digest)) for id, business_id, digest in cursor.fetchall()}
    for draft in drafts:
        if found[draft.business_id][1] != draft.digest():
            raise BusinessIdReused(metadata={"business_id": draft.business_id})
    return {business_id: id for business_id, (id, _) in found.items()}


def _insert_entries(
    cursor: Cursor, drafts: Sequence[Draft], ids: dict[str, int], accounts: dict[int, LockedAccount]
) -> None:
    rows: list[tuple[int, int, int, int, str]] = []
    for draft in drafts:
        _refuse_unbalanced(draft, accounts)
        for account, amount in sorted(draft.moves.items()):
            rows.append((ids[draft.business_id], account, amount, accounts[account].add(amount), draft.kind))
    if rows:
        cursor.execute(INSERT_ENTRIES, [list(column) for column in zip(*rows, strict=True)])


def _update(cursor: Cursor, accounts: dict[int, LockedAccount]) -> None:
    if accounts:
        rows = [(account.id, account.balance, account.held) for account in accounts.values()]
        cursor.execute(UPDATE_ACCOUNTS, [list(column) for column in zip(*rows, strict=True)])


def _refuse_unbalanced(draft: Draft, accounts: dict[int, LockedAccount]) -> None:
    sums: dict[str, int] = {}
    for account, amount in draft.moves.items():
        currency = accounts[account].currency
        sums[currency] = sums.get(currency, 0) + amount
    if any(sums.values()):
        raise InvalidTransfer("The entries of a transfer sum to zero in each currency.")
