"""The one card that an organisation keeps at Stripe for automatic top-ups."""

from __future__ import annotations

from contextlib import suppress

from django.conf import settings
from django.db import transaction

from accounts import audit
from accounts.audit import Actor
from accounts.models import Organization
from billing import client, client_cards, topups
from billing.client_cards import Card
from billing.errors import PaymentGone, PaymentsOff
from billing.models import AutoTopUp, Customer, SavedCard

STRIPE = Actor.system("stripe")


def card_of(organization: Organization) -> SavedCard | None:
    return SavedCard.objects.of(organization).first()


def is_kept(organization: Organization, method_id: str) -> bool:
    kept = card_of(organization)
    return kept is not None and kept.stripe_id == method_id


def open_page(organization: Organization) -> str:
    """The address at which to save one. Raises: PaymentsOff, PaymentsAway."""
    if not client.is_on():
        raise PaymentsOff
    customer = topups.customer_of(organization)
    return client_cards.open_setup(customer, organization.public_id, f"{settings.PUBLIC_URL}/billing").url


def adopt_from(session_id: str) -> bool:
    """Keeps what a page of Stripe's has saved, for the organisation whose customer it is; however often it is told.

    Raises: PaymentGone, PaymentsAway.
    """
    found = client_cards.card_saved_by(session_id)
    return found is not None and adopt(found)


def adopt(card: Card) -> bool:
    """Returns: whether it belongs to a customer of ours."""
    customer = (
        Customer.objects.filter(stripe_id=card.customer).select_related("org").first() if card.customer else None
    )
    if customer is None:
        return False
    organization, earlier = customer.org, None
    about = {"stripe_id": card.id, "brand": card.brand[:30], "last4": card.last4[:4], "expires": card.expires[:7]}
    with transaction.atomic():
        kept = SavedCard.objects.of(organization).select_for_update().first()
        if kept is not None and kept.stripe_id == card.id:
            return True
        if kept is not None:
            earlier, before = kept.stripe_id, told(kept)
            SavedCard.objects.filter(pk=kept.pk).update(**about)
        else:
            before = None
        after, _made = SavedCard.objects.get_or_create(org=organization, defaults=about)
        # Another card has declined nothing yet.
        AutoTopUp.objects.of(organization).update(failures=0, next_attempt_at=None)
        audit.record(
            organization,
            STRIPE,
            "billing.card_saved",
            "card",
            organization.public_id,
            before=before,
            after=told(after),
        )
    if earlier is not None:
        with suppress(PaymentGone):
            client_cards.forget(earlier)
    return True


def remove(organization: Organization, actor: Actor) -> None:
    """Forgets it, at Stripe too, and ends automatic top-ups. Raises: PaymentsOff, PaymentsAway: it stays."""
    with transaction.atomic():
        kept = SavedCard.objects.of(organization).select_for_update().first()
        if kept is None:
            return
        with suppress(PaymentGone):
            client_cards.forget(kept.stripe_id)
        before = told(kept)
        kept.delete()
        AutoTopUp.objects.of(organization).update(is_on=False)
        audit.record(organization, actor, "billing.card_removed", "card", organization.public_id, before=before)


def told(card: SavedCard) -> dict[str, str]:
    return {"brand": card.brand, "last4": card.last4, "expires": card.expires}
