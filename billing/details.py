"""Whom invoices and receipts name, and what there is to download of each payment."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Self

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import Organization
from billing import client, client_cards, client_invoices, topups
from billing.models import BillingDetails, TopUp

LONGEST = {
    "name": 120,
    "email": 254,
    "line1": 120,
    "line2": 120,
    "city": 80,
    "postal_code": 20,
    "country": 2,
    "tax_id": 30,
}
TAX_ID = re.compile(r"[A-Za-z0-9 .\-/]*")


@dataclass(frozen=True, slots=True)
class Details:
    name: str
    email: str = ""
    line1: str = ""
    line2: str = ""
    city: str = ""
    postal_code: str = ""
    country: str = ""
    tax_id: str = ""

    @classmethod
    def of(cls, row: BillingDetails) -> Self:
        return cls(**{name: getattr(row, name) for name in LONGEST})

    @property
    def lines(self) -> list[str]:
        """As on an envelope."""
        place = " ".join(part for part in (self.postal_code, self.city) if part)
        return [line for line in (self.name, self.line1, self.line2, place, self.country) if line]


def details_of(organization: Organization) -> Details:
    row = BillingDetails.objects.of(organization).first()
    return Details.of(row) if row else Details(organization.name)


def set_details(organization: Organization, actor: Actor, given: Details) -> Details:
    """From now on; what Stripe has invoiced already stays as it is.

    Raises: InvalidField. PaymentsAway: Stripe does not know them yet, and nothing was changed here.
    """
    wanted = _checked(given)
    before = details_of(organization)
    with transaction.atomic():
        row = BillingDetails.objects.of(organization).select_for_update().first() or BillingDetails(org=organization)
        for name, text in asdict(wanted).items():
            setattr(row, name, text)
        row.save()
        if before != wanted:
            audit.record(
                organization, actor, "billing.details_set", "billing_details", organization.public_id,
                before=asdict(before), after=asdict(wanted),
            )  # fmt: skip
        if client.is_on():
            parts = ("line1", "line2", "city", "postal_code", "country")
            address = {name: getattr(wanted, name) for name in parts}
            customer = topups.customer_of(organization)
            client_cards.describe_customer(customer, wanted.name, wanted.email, address, wanted.tax_id)
    return wanted


def paid(organization: Organization) -> QuerySet[TopUp]:
    """What there are invoices and receipts of, newest first."""
    return TopUp.objects.of(organization).filter(state=TopUp.PAID).order_by("-paid_at", "-pk")


def invoice_address(top_up: TopUp) -> str:
    """Of Stripe's invoice as PDF; "" where there is none, or none yet. Raises: PaymentsOff, PaymentsAway."""
    if top_up.is_automatic:
        return client_invoices.pdf_of(top_up.invoice_id) if top_up.invoice_id else ""
    return client_cards.invoice_pdf(str(top_up.payment_id))


def _checked(given: Details) -> Details:
    said = {name: str(getattr(given, name)).strip() for name in LONGEST}
    said["country"] = said["country"].upper()
    wrong = {
        name: [_("Use at most %(most)s characters on one line.") % {"most": most}]
        for name, most in LONGEST.items()
        if len(said[name]) > most or not said[name].isprintable()
    }
    if not said["name"]:
        wrong["name"] = [_("Give the name that invoices are made out to.")]
    if said["country"] and not (
        len(said["country"]) == 2 and said["country"].isascii() and said["country"].isalpha()
    ):
        wrong["country"] = [_("Give the two letters of the country, such as TH or DE.")]
    if not TAX_ID.fullmatch(said["tax_id"]):
        wrong["tax_id"] = [_("A tax id has letters, digits, spaces, dots, dashes and slashes.")]
    if said["email"] and "email" not in wrong:
        try:
            validate_email(said["email"])
        except ValidationError:
            wrong["email"] = [_("This is no e-mail address.")]
    if wrong:
        raise InvalidField(wrong)
    return Details(**said)
