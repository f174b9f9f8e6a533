"""What a payout is made of: what came to the matured rewards since the one before it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, F, QuerySet, Sum

from accounts.models import Organization
from billing.client import CENT_NANOS
from billing.models import Payout
from billing.payouts import PAYOUT
from ledger import kinds
from ledger.models import Account, Entry


@dataclass(frozen=True, slots=True)
class Part:
    """Of one kind of movement: nano-USD, and how many there were."""

    kind: str
    nanos: int
    count: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Nano-USD. `open_nanos` is on its way, and not part of `payable_nanos`."""

    payable_nanos: int
    open_nanos: int
    maturing_nanos: int
    paid_nanos: int


def standing(organization: Organization) -> Standing:
    accounts = {row.kind: row for row in _accounts(organization)}
    available, escrow = accounts.get(kinds.REWARDS_AVAILABLE), accounts.get(kinds.REWARDS_ESCROW)
    paid = Payout.objects.of(organization).filter(state=Payout.PAID).aggregate(sum=Sum("cents"))["sum"] or 0
    held = available.held if available else 0
    return Standing(
        (available.balance - held) if available else 0, held, escrow.balance if escrow else 0, paid * CENT_NANOS
    )


def payouts_of(organization: Organization) -> QuerySet[Payout]:
    """Newest first."""
    return Payout.objects.of(organization).select_related("batch").order_by("-created_at", "-pk")


def entries(payout: Payout) -> QuerySet[Entry]:
    """What came since the payout before, oldest first, each with `business_id` and `posted_at`."""
    paid_before = Payout.objects.of(payout.org).filter(state=Payout.PAID, pk__lt=payout.pk)
    since = paid_before.order_by("-pk").values_list("created_at", flat=True).first()
    account = _accounts(payout.org).filter(kind=kinds.REWARDS_AVAILABLE)
    found = Entry.objects.filter(account__in=account, transfer__posted_at__lte=payout.created_at)
    found = found.exclude(kind=PAYOUT)
    if since is not None:
        found = found.filter(transfer__posted_at__gt=since)
    named = found.annotate(business_id=F("transfer__business_id"), posted_at=F("transfer__posted_at"))
    return named.order_by("pk")


def parts(payout: Payout) -> list[Part]:
    rows = entries(payout).order_by("kind").values("kind")
    return [
        Part(row["kind"], row["nanos"], row["count"]) for row in rows.annotate(nanos=Sum("amount"), count=Count("pk"))
    ]


def _accounts(organization: Organization) -> QuerySet[Account]:
    return Account.objects.of(organization).filter(currency=kinds.USD, reference="")
