"""What an organisation has, and how it came to be: read from the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet, Subquery, Sum

from accounts.models import Organization
from ledger import kinds
from ledger.history import stands_at
from ledger.models import Account, Entry

USAGE = ("rerating", "settlement")
"""Kinds of transfers by which usage is paid."""
_LATER = timedelta(days=1)


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
    wallet_id: int | None = None

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
    of_its_own = Q(org=organization, kind__in=(kinds.WALLET, kinds.TOKENS), reference="")
    line = Q(org=None, kind=kinds.CREDIT_LINE, reference=organization.public_id)
    found = {row.kind: row for row in Account.objects.filter(of_its_own | line, currency=kinds.USD)}
    wallet, tokens, owed = (found.get(kind) for kind in (kinds.WALLET, kinds.TOKENS, kinds.CREDIT_LINE))
    return Balance(
        total=wallet.balance if wallet else 0,
        held=wallet.held if wallet else 0,
        limit=-owed.balance if owed else 0,
        tokens=tokens.balance if tokens else 0,
        tokens_held=tokens.held if tokens else 0,
        has_tokens=tokens is not None,
        wallet_id=wallet.pk if wallet else None,
    )


def entries(organization: Organization, kind: str = "", purse: str = kinds.WALLET) -> QuerySet[Entry]:
    """Of the credits, or of what own machines earned for own use, newest first.

    Each with `business_id`, `reason` and `posted_at` of its transfer.
    """
    # One account and not "in" a set of them: so PostgreSQL reads along its index and stops at the end of the page.
    found = Entry.objects.filter(account=Subquery(_purse(organization, purse).values("pk")[:1])).annotate(
        business_id=F("transfer__business_id"),
        reason=F("transfer__reason"),
        posted_at=F("transfer__posted_at"),
    )
    return (found.filter(kind=kind) if kind else found).order_by("-id")


def used(wallet_id: int | None, since: datetime, now: datetime) -> int:
    """In nano-USD, corrections of prices included: what the balance lost, but for what else has moved it.

    Usage is by far the most of what moves a wallet, and is not read for that.
    """
    if wallet_id is None:
        return 0
    then, current = stands_at(wallet_id, (since, now + _LATER))
    since_then = Entry.objects.filter(account=wallet_id, id__gte=then.first_id, id__lt=current.first_id)
    other = since_then.of_other_kinds(*USAGE).aggregate(sum=Sum("amount"))["sum"] or 0
    return then.balance + other - current.balance


def _purse(organization: Organization, kind: str) -> QuerySet[Account]:
    return Account.objects.of(organization).filter(kind=kind, currency=kinds.USD, reference="")
