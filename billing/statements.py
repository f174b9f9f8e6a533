"""What an organisation has, and how it came to be: read from the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, QuerySet, Sum

from accounts.models import Organization
from ledger import kinds
from ledger.models import Account, Entry


@dataclass(frozen=True, slots=True)
class Balance:
    """Nano-USD. `held` is set aside for requests under way, and part of `total`."""

    total: int
    held: int

    @property
    def available(self) -> int:
        return self.total - self.held


def balance(organization: Organization) -> Balance:
    wallet = _wallet(organization).first()
    return Balance(wallet.balance, wallet.held) if wallet else Balance(0, 0)


def entries(organization: Organization, kind: str = "") -> QuerySet[Entry]:
    """Of the wallet, newest first, each with `kind`, `business_id`, `reason` and `posted_at` of its transfer."""
    found = Entry.objects.filter(account__in=_wallet(organization)).annotate(
        kind=F("transfer__kind"),
        business_id=F("transfer__business_id"),
        reason=F("transfer__reason"),
        posted_at=F("transfer__posted_at"),
    )
    return (found.filter(transfer__kind=kind) if kind else found).order_by("-id")


def used(organization: Organization, since: datetime) -> int:
    """In nano-USD, corrections of prices included."""
    taken = entries(organization).filter(
        transfer__kind__in=("settlement", "rerating"), transfer__posted_at__gte=since
    )
    return -(taken.order_by().aggregate(sum=Sum("amount"))["sum"] or 0)


def _wallet(organization: Organization) -> QuerySet[Account]:
    return Account.objects.of(organization).filter(kind=kinds.WALLET, currency=kinds.USD, reference="")
