"""Posts what a batch of usage spent of budgets, in the transaction that records it.

A record says by which process's leases it was covered and what is to be charged to each account. Per batch and window
one transfer takes it out of the window's account. Charges to other accounts than those of budgets are left to
whoever owns these.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import psycopg

from ledger import leases
from ledger.drafts import Draft
from ledger.posting import lock_accounts
from metering.usage import UsageRecord

SPENT = "budget_spent"

WINDOWS = "SELECT account_id, source_id FROM metering_budgetwindow WHERE account_id = ANY(%s)"
OVERRUN = "UPDATE metering_budgetwindow SET overrun = overrun + %s WHERE account_id = %s"

Spent = Mapping[UUID, Mapping[int, int]]
"""By lessee and account."""

logger = logging.getLogger(__name__)


class Charged(NamedTuple):
    first_request: str
    by_lessee: dict[UUID, dict[int, int]]


def poster() -> Poster:
    """As the recorder's hook."""
    return Poster()


class Poster:
    def __call__(self, cursor: psycopg.Cursor, records: Sequence[UsageRecord]) -> None:
        charged = charged_in(records)
        if charged is not None:
            _post(cursor, charged)


def charged_in(records: Sequence[UsageRecord]) -> Charged | None:
    by_lessee: dict[UUID, dict[int, int]] = {}
    first = ""
    for record in records:
        if not record.charges:
            continue
        first = min(first, record.request_id) if first else record.request_id
        amounts = by_lessee.setdefault(UUID(record.lessee), {})
        for account, amount in record.charges:
            amounts[account] = amounts.get(account, 0) + amount
    return Charged(first, by_lessee) if by_lessee else None


def _post(cursor: psycopg.Cursor, charged: Charged) -> None:
    wanted = {account for amounts in charged.by_lessee.values() for account in amounts}
    cursor.execute(WINDOWS, (sorted(wanted),))
    sources: dict[int, int] = dict(cursor.fetchall())
    spent = {
        lessee: {account: amount for account, amount in amounts.items() if account in sources}
        for lessee, amounts in charged.by_lessee.items()
    }
    if not sources:
        return
    locked = lock_accounts(cursor, {*sources, *sources.values()})
    covered = _covered(cursor, spent)
    moves: dict[str, dict[int, int]] = {}
    for account, amount in _totals(spent).items():
        own = locked[account]
        charge = max(0, min(amount, own.balance - own.held + covered.get(account, 0)))
        if charge:
            moves[f"{SPENT}:{account}:{charged.first_request}"] = {account: -charge, sources[account]: charge}
        if charge < amount:
            cursor.execute(OVERRUN, (amount - charge, account))
            logger.info("budget account %s did not cover %s of %s", account, amount - charge, amount)
    leases.settle_all(cursor, spent, [Draft(name, SPENT, both) for name, both in moves.items()])


def _covered(cursor: psycopg.Cursor, spent: Spent) -> dict[int, int]:
    """By account, how much of what was spent is held by leases. Less than that, when these were reaped."""
    covered: defaultdict[int, int] = defaultdict(int)
    for lessee, amounts in spent.items():
        for account, held in leases.held_by(cursor, lessee, amounts).items():
            covered[account] += min(held, amounts[account])
    return covered


def _totals(spent: Spent) -> dict[int, int]:
    totals: defaultdict[int, int] = defaultdict(int)
    for amounts in spent.values():
        for account, amount in amounts.items():
            totals[account] += amount
    return totals
