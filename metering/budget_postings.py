"""What a batch of usage spent of budgets and of leases, for whoever posts it in the transaction that records it.

A record says by which process's leases it was covered and what is to be charged to each account. Per batch and window
one transfer takes it out of the window's account. What is charged to other accounts than those of budgets is left to
whoever owns these, who posts all of it at once: locks are then taken in one order.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from ledger import leases
from ledger.drafts import Draft
from ledger.posting import LockedAccount
from metering.usage import UsageRecord

SPENT = "budget_spent"

WINDOWS = "SELECT account_id, source_id FROM metering_budgetwindow WHERE account_id = ANY(%s)"
OVERRUN = "UPDATE metering_budgetwindow SET overrun = overrun + %s WHERE account_id = %s"

Spent = dict[UUID, dict[int, int]]
"""By lessee and account."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Charged:
    """Args: sources: where the budgets among the accounts are filled from, by account."""

    first_request: str = ""
    by_lessee: Spent = field(default_factory=dict)
    sources: dict[int, int] = field(default_factory=dict)

    def others(self) -> set[int]:
        """Accounts that are not those of budgets."""
        return {id for amounts in self.by_lessee.values() for id in amounts if id not in self.sources}

    def only(self, accounts: Collection[int]) -> Spent:
        """What was spent of budgets and of `accounts`; of anything else nothing is known here."""
        return {
            lessee: {id: amount for id, amount in amounts.items() if id in self.sources or id in accounts}
            for lessee, amounts in self.by_lessee.items()
        }


def charged_in(cursor: psycopg.Cursor, records: Iterable[UsageRecord]) -> Charged:
    charged = Charged()
    by_name: dict[str, dict[int, int]] = {}
    for record in records:
        if not record.charges:
            continue
        if not charged.first_request or record.request_id < charged.first_request:
            charged.first_request = record.request_id
        amounts = by_name.setdefault(record.lessee, {})
        for account, amount in record.charges:
            amounts[account] = amounts.get(account, 0) + amount
    charged.by_lessee = {UUID(name): amounts for name, amounts in by_name.items()}
    if charged.by_lessee:
        cursor.execute(WINDOWS, ([*{id for amounts in charged.by_lessee.values() for id in amounts}],))
        charged.sources = dict(cursor.fetchall())
    return charged


def covered_by(cursor: psycopg.Cursor, spent: Spent) -> dict[int, int]:
    """By account, how much of what was spent is held by leases: less than that, when these were reaped.

    Read it under the locks of the accounts."""
    covered: defaultdict[int, int] = defaultdict(int)
    for lessee, amounts in spent.items():
        for account, held in leases.held_by(cursor, lessee, amounts).items():
            covered[account] += min(held, amounts[account])
    return covered


def drafts_of(
    cursor: psycopg.Cursor, charged: Charged, locked: Mapping[int, LockedAccount], covered: Mapping[int, int]
) -> Sequence[Draft]:
    """Of the budgets. What one did not cover is noted as its overrun."""
    totals: defaultdict[int, int] = defaultdict(int)
    for amounts in charged.by_lessee.values():
        for account in amounts.keys() & charged.sources.keys():
            totals[account] += amounts[account]
    drafts = []
    for account, amount in totals.items():
        own, source = locked[account], charged.sources[account]
        charge = max(0, min(amount, own.balance - own.held + covered.get(account, 0)))
        if charge:
            moves = {account: -charge, source: charge}
            drafts.append(Draft(f"{SPENT}:{account}:{charged.first_request}", SPENT, moves))
        if charge < amount:
            cursor.execute(OVERRUN, (amount - charge, account))
            logger.info("budget account %s did not cover %s of %s", account, amount - charge, amount)
    return drafts
