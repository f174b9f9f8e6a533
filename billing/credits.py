"""Credits that the operator gives: a welcome, goodwill, a payment that came another way."""

from __future__ import annotations

from django.db import transaction

from accounts import audit
from accounts.audit import Actor
from accounts.models import Organization
from common.money import format_usd
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.posting import Posted
from ledger.transfers import post

CREDIT = "credit"


def give(organization: Organization, actor: Actor, nanos: int, *, purpose: str, reason: str) -> Posted:
    """Gives so much, once for each purpose; negative takes back, at most what is there.

    Args:
        purpose: names the gift, `welcome` or the number of a bank transfer; giving it again changes nothing.

    Raises: BusinessIdReused: another amount or reason was given for this purpose. InvalidTransfer. NotCovered.
    """
    wallet, promo = ensure_account(kinds.WALLET, organization), ensure_account(kinds.PROMO)
    draft = Draft(
        f"{CREDIT}:{organization.public_id}:{purpose}", CREDIT, {promo.pk: -nanos, wallet.pk: nanos}, reason=reason
    )
    with transaction.atomic():
        posted = post(draft)
        if posted.is_new:
            about = {"amount_usd": format_usd(nanos), "purpose": purpose, "reason": reason}
            audit.record(organization, actor, "billing.credit_given", "wallet", organization.public_id, after=about)
    return posted
