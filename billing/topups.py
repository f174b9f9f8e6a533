"""Credits are ordered here; they are given in `billing.crediting`, when Stripe says that they are paid."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import Organization
from billing import client
from billing.errors import PaymentsOff
from billing.models import Customer, TopUp
from common.ids import new_id
from common.money import format_usd

LEAST_CENTS, MOST_CENTS = 500, 1_000_000


def order(organization: Organization, actor: Actor, amount_usd: object, *, keeps_card: bool = False) -> TopUp:
    """A top-up with the address at which to pay it.

    Args: keeps_card: the card that pays is kept for automatic top-ups.

    Raises: InvalidField: naming `amount_usd`. PaymentsOff, PaymentsAway.
    """
    cents = cents_of("amount_usd", amount_usd)
    if not client.is_on():
        raise PaymentsOff
    customer = customer_of(organization)
    with transaction.atomic():
        top_up = TopUp.objects.create(org=organization, public_id=new_id("top"), cents=cents)
        top_up.checkout_url = client.open_checkout(
            top_up.public_id, customer, cents, _back_to(), keeps_card=keeps_card
        ).url
        top_up.save(update_fields=["checkout_url"])
        audit.record(
            organization, actor, "billing.top_up_ordered", "top_up", top_up.public_id,
            after={"amount_usd": f"{cents / 100:.2f}"},
        )  # fmt: skip
    return top_up


def customer_of(organization: Organization) -> str:
    found = Customer.objects.of(organization).first()
    if found is None:
        stripe_id = client.create_customer(organization.public_id, organization.name)
        found, _made = Customer.objects.get_or_create(org=organization, defaults={"stripe_id": stripe_id})
    return found.stripe_id


def portal_of(organization: Organization) -> str:
    """The address of Stripe's page with the organisation's invoices and cards. Raises: PaymentsOff, PaymentsAway."""
    return client.open_portal(customer_of(organization), _back_to())


def _back_to() -> str:
    return f"{settings.PUBLIC_URL}/billing"


def cents_of(field: str, amount_usd: object, least_cents: int = LEAST_CENTS) -> int:
    """Raises: InvalidField: naming `field`."""
    try:
        amount = Decimal(str(amount_usd)) * 100
        cents = int(amount) if amount.is_finite() else 0
    except (InvalidOperation, OverflowError):
        raise InvalidField.one(field, _("Give an amount in US dollars.")) from None
    if cents != amount or not least_cents <= cents <= MOST_CENTS:
        bounds = {
            "least": format_usd(least_cents * client.CENT_NANOS),
            "most": format_usd(MOST_CENTS * client.CENT_NANOS),
        }
        raise InvalidField.one(field, _("Give %(least)s to %(most)s, in whole cents.") % bounds)
    return cents
