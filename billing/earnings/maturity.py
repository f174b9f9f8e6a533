"""From escrow to what may be paid out: after a time, with trust, and never while a case about it is pending."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from accounts.models import Organization
from billing.earnings.models import Case, Lot
from billing.earnings.trust import trust_of
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.models import Account
from ledger.posting import lock_accounts, post_all

MATURITY = "maturity"


def available(organization: Organization) -> int:
    """What may be paid out to an organisation now, in nano-USD."""
    found = Account.objects.of(organization).filter(kind=kinds.REWARDS_AVAILABLE, currency=kinds.USD, reference="")
    account = found.first()
    return account.balance - account.held if account else 0


def matures_on(day: date) -> date:
    return day + timedelta(days=int(settings.EARNINGS_MATURITY_DAYS))


def waiting_lots(organization: Organization) -> QuerySet[Lot]:
    """Those with something in escrow, the oldest first."""
    lots: QuerySet[Lot] = Lot.objects.of(organization)
    return lots.filter(escrow__gt=F("matured") + F("taken_escrow")).order_by("day", "pk")


def owners_with_ripe_lots(now: datetime) -> list[int]:
    ripe = Lot.objects.filter(_is_ripe(now), escrow__gt=F("matured") + F("taken_escrow"))
    return sorted(set(ripe.values_list("org_id", flat=True)))


def mature(organization: Organization, now: datetime) -> int:
    """Moves what is ripe, each unit once. Returns: nano-USD; 0 as long as trust does not suffice."""
    with transaction.atomic(), connection.cursor() as cursor:
        escrow = ensure_account(kinds.REWARDS_ESCROW, organization)
        payable = ensure_account(kinds.REWARDS_AVAILABLE, organization)
        # Accounts before lots, as settlement does it. Whoever else matures the same lots waits here.
        lock_accounts(cursor, [escrow.pk, payable.pk])
        lots = list(waiting_lots(organization).filter(_is_ripe(now)))
        if not lots or not trust_of(organization, now).suffices:
            return 0
        moved = [(lot, lot.waiting) for lot in lots]
        post_all(
            cursor,
            [
                Draft(
                    f"maturity:{lot.pk}:{lot.matured + lot.taken_escrow}",
                    MATURITY,
                    {escrow.pk: -nanos, payable.pk: nanos},
                    reason=f"Earned on {lot.day.isoformat()}",
                )
                for lot, nanos in moved
            ],
        )
        for lot, nanos in moved:
            Lot.objects.filter(pk=lot.pk).update(matured=F("matured") + nanos)
        return sum(nanos for _, nanos in moved)


def _is_ripe(now: datetime) -> Q:
    last = now.date() - timedelta(days=int(settings.EARNINGS_MATURITY_DAYS))
    return Q(day__lte=last) & (Q(case=None) | ~Q(case__state__in=(Case.OPEN, Case.ANSWERED)))
