"""Opens the windows of budgets and keeps what is in them equal to what the budget says. Asks a cursor.

A window's account is filled from `allotments` by the budget's amount; what is spent goes back there. When the amount
changes the difference is moved, and what is leased or spent already cannot be taken back: then less is allotted as
soon as it is free.

Locks are taken in this order: accounts by id, the window's row.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from accounts.scopes import TOKENS
from ledger import kinds
from ledger.drafts import Draft
from ledger.posting import Cursor, lock_accounts, post_all
from metering.budgets import PURSE, Budget, span_of
from metering.rounds import OpenWindow, Stand

ALLOTMENT = "allotment"

CONFIGURED = """
SELECT b.amount FROM accounts_budget b JOIN accounts_limit l ON l.id = b.limit_id
WHERE l.org_id = %s AND l.scope = %s AND l.subject = %s AND b.unit = %s AND b.window = %s
"""
OPEN_ACCOUNT = """
INSERT INTO ledger_account (org_id, kind, currency, reference, is_prepaid, balance, held)
VALUES (%s, %s, %s, %s, %s, 0, 0)
ON CONFLICT DO NOTHING
"""
FIND_ACCOUNT = """
SELECT id FROM ledger_account WHERE org_id IS NOT DISTINCT FROM %s AND kind = %s AND currency = %s AND reference = %s
"""
OPEN_WINDOW = """
INSERT INTO metering_budgetwindow (org_id, scope, subject, unit, "window", starts_at, ends_at, account_id, source_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
LOCK_WINDOW = """
SELECT id, allotted, changes, overrun FROM metering_budgetwindow WHERE account_id = %s FOR NO KEY UPDATE
"""
ALLOT = "UPDATE metering_budgetwindow SET allotted = allotted + %s, changes = changes + 1 WHERE id = %s"
STANDS = """
SELECT a.id, coalesce(w.allotted, 0), coalesce(w.overrun, 0), a.balance, a.held
FROM ledger_account a LEFT JOIN metering_budgetwindow w ON w.account_id = a.id WHERE a.id = ANY(%s)
"""


def open_window(cursor: Cursor, budget: Budget, now: datetime) -> OpenWindow:
    """The window that `now` is in, with as much in it as the budget says this moment."""
    if budget.scope == PURSE:
        return _open_purse(cursor, budget)
    starts_at, ends_at = span_of(budget.window, now)
    currency = kinds.COUNT if budget.unit == TOKENS else kinds.USD
    account = _ensure(cursor, budget.org_id, kinds.BUDGET, currency, _reference(budget, starts_at))
    # One source for each organisation, or all would wait for each other.
    source = _ensure(cursor, None, kinds.ALLOTMENTS, currency, f"org:{budget.org_id}")
    locked = lock_accounts(cursor, (account, source))
    span = (starts_at, ends_at, account, source)
    cursor.execute(OPEN_WINDOW, (budget.org_id, budget.scope, budget.subject, budget.unit, budget.window, *span))
    cursor.execute(LOCK_WINDOW, (account,))
    row, allotted, changes, overrun = cursor.fetchone()
    amount = _configured(cursor, budget)
    own = locked[account]
    difference = 0 if amount is None else max(amount - allotted, -(own.balance - own.held))
    if difference:
        post_all(
            cursor, [Draft(f"{ALLOTMENT}:{account}:{changes}", ALLOTMENT, {account: difference, source: -difference})]
        )
        cursor.execute(ALLOT, (difference, row))
    stand = Stand(account, allotted + difference, overrun, own.balance + difference, own.held)
    return OpenWindow(account, ends_at.timestamp() if ends_at else float("inf"), amount, stand)


def _open_purse(cursor: Cursor, budget: Budget) -> OpenWindow:
    account = _ensure(cursor, budget.org_id, budget.subject, kinds.USD, "")
    return OpenWindow(account, float("inf"), budget.amount, stands_of(cursor, [account])[account])


def stands_of(cursor: Cursor, account_ids: list[int]) -> dict[int, Stand]:
    cursor.execute(STANDS, (account_ids,))
    return {row[0]: Stand(*row) for row in cursor.fetchall()}


def _reference(budget: Budget, starts_at: datetime) -> str:
    """A subject may be longer than a reference."""
    named = hashlib.sha256(f"{budget.scope}:{budget.subject}".encode()).hexdigest()[:24]
    return f"{budget.scope}:{named}:{budget.window}:{starts_at.astimezone(UTC):%Y-%m-%d}"


def _configured(cursor: Cursor, budget: Budget) -> int | None:
    """Of PostgreSQL, not of the snapshot: of two processes one may not have heard of the change yet."""
    cursor.execute(CONFIGURED, (budget.org_id, budget.scope, budget.subject, budget.unit, budget.window))
    row = cursor.fetchone()
    return None if row is None else int(row[0])


def _ensure(cursor: Cursor, org_id: int | None, kind: str, currency: str, reference: str) -> int:
    found = (org_id, kind, currency, reference)
    cursor.execute(FIND_ACCOUNT, found)
    if (row := cursor.fetchone()) is None:
        cursor.execute(OPEN_ACCOUNT, (*found, kind in kinds.PREPAID))
        cursor.execute(FIND_ACCOUNT, found)
        row = cursor.fetchone()
    return int(row[0])
