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
    """Nano-USD. `held` is set aside for requests under way, and part of `total`; so is the credit up to `limit`.

    `tokens` is what own machines earned for own use, `tokens_held` of it for requests under way.
    """

    total: int
    held: int
    limit: int = 0
    tokens: int = 0
    tokens_held: int = 0
    has_tokens: bool = False

    @property
    def available(self) -> int:
        return self.total - self.held

    @property
    def owed(self) -> int:
        """What was spent of the credit limit."""
        return max(0, self.limit - self.total)

    @property
    def tokens_available(self) -> int:
        return self.tokens - self.tokens_held


def balance(organization: Organization) -> Balance:
    purses = Account.objects.of(organization).filter(kind__in=(kinds.WALLET, kinds.TOKENS), currency=kinds.USD)
    found = {row.kind: (row.balance, row.held) for row in purses}
    line = Account.objects.filter(org=None, kind=kinds.CREDIT_LINE, reference=organization.public_id).first()
    tokens, tokens_held = found.get(kinds.TOKENS, (0, 0))
    total, held = found.get(kinds.WALLET, (0, 0))
    return Balance(total, held, -line.balance if line else 0, tokens, tokens_held, kinds.TOKENS in found)


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
