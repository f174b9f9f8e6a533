"""Gives back what should not have been earned: one transfer per case, to those who had paid, the fee included.

What the owner no longer has, because it was spent or given on, the platform bears.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from django.db import connection

from billing.earnings.models import Case, Donation, Lot
from billing.earnings.sharing import cause_accounts
from ledger import kinds
from ledger.accounts import AccountIds, Wanted
from ledger.drafts import Draft
from ledger.posting import Cursor, LockedAccount, lock_accounts, post_all

CLAWBACK = "clawback"
LAST = 2**63 - 1
"""No transfer has so high an id."""
PAYERS = """
SELECT c.org_id, sum(c.charge_nanos - c.written_off_nanos)::bigint FROM billing_charge c
JOIN ledger_transfer t ON t.id = CASE WHEN c.revision = 0 THEN c.transfer_id ELSE (
    SELECT transfer_id FROM billing_charge f WHERE f.request_id = c.request_id AND f.revision = 0
) END
WHERE c.target_id = %s AND c.owner_id = %s AND (t.posted_at AT TIME ZONE 'UTC')::date = %s AND t.id < %s
GROUP BY c.org_id ORDER BY c.org_id
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """Nano-USD: of the owner's share, and what payers got back. `transfer_id` is None where nothing moved."""

    owner: int
    refunded: int
    transfer_id: int | None


@dataclass(slots=True)
class _Sources:
    """What is taken from where, before anything moves."""

    escrow: int
    exchanged: int
    donated: dict[int, int]

    @property
    def total(self) -> int:
        return self.escrow + self.exchanged + sum(self.donated.values())


def take_back(case: Case, share: Fraction) -> Taken:
    """Takes that share of the lot back, once. Inside a transaction that holds the case's row."""
    with connection.cursor() as cursor:
        lot = case.lot
        causes = {gift.cause_id: gift for gift in lot.donations.all()}
        ids = _accounts(cursor, lot, list(paid_by(cursor, lot)), list(causes))
        locked = lock_accounts(cursor, ids.values())
        lot.refresh_from_db()
        paid = paid_by(cursor, lot)  # again: until the accounts were locked, a price could be put right
        sources = _sources(lot, causes, share, {wanted: locked[id] for wanted, id in ids.items()})
        refunds = {org: part_of(nanos, share) for org, nanos in paid.items()}
        moves = {ids[kinds.REWARDS_ESCROW, lot.org_id]: -sources.escrow}
        moves |= {ids[kinds.NGO_PAYABLE, cause]: -nanos for cause, nanos in sources.donated.items()}
        if sources.exchanged:
            moves[ids[kinds.TOKENS, lot.org_id]] = -sources.exchanged
        moves |= {ids[kinds.WALLET, org]: nanos for org, nanos in refunds.items()}
        moves[ids[kinds.REVENUE, None]] = sources.total - sum(refunds.values())
        moves = {account: nanos for account, nanos in moves.items() if nanos}
        if not moves:
            return Taken(0, 0, None)
        draft = Draft(f"{CLAWBACK}:{case.public_id}", CLAWBACK, moves, reason=f"Case {case.public_id}")
        [posted] = post_all(cursor, [draft])
    _note(lot, sources)
    return Taken(sources.total, sum(refunds.values()), posted.id)


def part_of(nanos: int, share: Fraction) -> int:
    return nanos * share.numerator // share.denominator


def paid_by(cursor: Cursor, lot: Lot, until: int = LAST) -> dict[int, int]:
    """By organisation, what was paid for the lot's requests that were settled before the transfer `until`."""
    cursor.execute(PAYERS, (lot.target_id, lot.org_id, lot.day, until))
    return dict(cursor.fetchall())


def _accounts(cursor: Cursor, lot: Lot, payers: list[int], causes: list[int]) -> dict[Wanted, int]:
    wanted: list[Wanted] = [(kinds.REWARDS_ESCROW, lot.org_id), (kinds.REVENUE, None)]
    wanted += [(kinds.WALLET, org) for org in payers]
    if lot.exchanged:
        wanted.append((kinds.TOKENS, lot.org_id))
    ids = AccountIds().ensure(cursor, wanted)
    return ids | {(kinds.NGO_PAYABLE, cause): id for cause, id in cause_accounts(cursor, causes).items()}


def _sources(
    lot: Lot, gifts: dict[int, Donation], share: Fraction, accounts: dict[Wanted, LockedAccount]
) -> _Sources:
    def free(wanted: Wanted) -> int:
        return max(0, accounts[wanted].balance - accounts[wanted].held)

    donated = {
        cause: min(part_of(gift.nanos, share), gift.nanos - gift.taken, free((kinds.NGO_PAYABLE, cause)))
        for cause, gift in gifts.items()
    }
    exchanged = part_of(lot.exchanged, share)
    if exchanged:
        exchanged = min(exchanged, free((kinds.TOKENS, lot.org_id)))
    return _Sources(min(part_of(lot.escrow - lot.taken_escrow, share), lot.waiting), exchanged, donated)


def _note(lot: Lot, sources: _Sources) -> None:
    lot.taken_escrow += sources.escrow
    lot.taken += sources.total
    lot.save(update_fields=["taken_escrow", "taken"])
    for gift in lot.donations.filter(cause__in=sources.donated):
        gift.taken += sources.donated[gift.cause_id]
        gift.save(update_fields=["taken"])
