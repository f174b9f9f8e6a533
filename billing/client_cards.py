"""The door to Stripe for cards that are kept: saving one, charging it when nobody is there, whom invoices name.

Raises as `billing.client`; a card that does not pay is `CardDeclined`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from billing.client import USD, Page, Payment, asking, id_of, payment_from

MOST_PAYMENTS = 100


@dataclass(frozen=True, slots=True)
class Card:
    """What its owner recognises it by; `customer` is whose Stripe says it is."""

    id: str
    customer: str
    brand: str
    last4: str
    expires: str


def open_setup(customer: str, org_id: str, back_to: str) -> Page:
    """A page of Stripe's on which a card is saved, and nothing paid."""
    with asking() as client:
        session = client.v1.checkout.sessions.create(
            {
                "mode": "setup",
                "currency": USD,
                "customer": customer,
                "metadata": {"organization": org_id},
                "success_url": f"{back_to}?card={{CHECKOUT_SESSION_ID}}",
                "cancel_url": back_to,
            }
        )
        return Page(session.id, session.url or "")


def card_saved_by(session_id: str) -> Card | None:
    """The card that a finished page of `open_setup` has saved."""
    with asking() as client:
        session = client.v1.checkout.sessions.retrieve(session_id)
        setup = id_of(session.setup_intent)
        if session.mode != "setup" or setup is None:
            return None
        intent = client.v1.setup_intents.retrieve(setup)
        method = id_of(intent.payment_method)
        if intent.status != "succeeded" or method is None:
            return None
    return card(method)


def card(method_id: str) -> Card:
    with asking() as client:
        found = client.v1.payment_methods.retrieve(method_id)
        shown = found.card
        brand, last4 = (shown.brand, shown.last4) if shown else (found.type, "")
        expires = f"{shown.exp_month:02d}/{shown.exp_year}" if shown else ""
        return Card(found.id, id_of(found.customer) or "", str(brand), str(last4), expires)


def forget(method_id: str) -> None:
    with asking() as client:
        client.v1.payment_methods.detach(method_id)


def charge(top_up: str, customer: str, method_id: str, cents: int) -> Payment:
    """Without anybody there; not repeated by the SDK: the caller asks `find_charge` first. Raises: CardDeclined."""
    with asking(retries=0) as client:
        return payment_from(
            client.v1.payment_intents.create(
                {
                    "amount": cents,
                    "currency": USD,
                    "customer": customer,
                    "payment_method": method_id,
                    "off_session": True,
                    "confirm": True,
                    "description": "ShareAI credits, automatic top-up",
                    "metadata": {"top_up": top_up},
                },
                {"idempotency_key": f"auto-{top_up}"},
            )
        )


def find_charge(top_up: str, customer: str, since: datetime) -> tuple[Payment, bool] | None:
    """What became of a charge, for who does not know. Returns: it, and whether it may still be paid."""
    with asking() as client:
        newer = {"customer": customer, "created": {"gte": int(since.timestamp()) - 60}, "limit": MOST_PAYMENTS}
        for one in client.v1.payment_intents.list(newer).auto_paging_iter():  # type: ignore[arg-type]
            found = payment_from(one)
            if found.top_up == top_up:
                return found, one.status == "processing"
        return None


def describe_customer(customer: str, name: str, email: str, address: Mapping[str, str], tax_id: str) -> None:
    """Whom invoices name from now on."""
    fields = [{"name": "Tax ID", "value": tax_id}] if tax_id else ""
    with asking() as client:
        client.v1.customers.update(
            customer,
            {  # type: ignore[arg-type]
                "name": name,
                "email": email,
                "address": {part: text for part, text in address.items() if text} or "",
                "invoice_settings": {"custom_fields": fields},
            },
        )


def invoice_pdf(payment_id: str) -> str:
    """The address of the invoice that Checkout made of a payment; "" where it made none."""
    with asking() as client:
        for session in client.v1.checkout.sessions.list({"payment_intent": payment_id, "limit": 1}).data:
            invoice = id_of(session.invoice)
            if invoice is not None:
                return client.v1.invoices.retrieve(invoice).invoice_pdf or ""
        return ""
