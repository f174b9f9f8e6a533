"""The door to Stripe, with `client_cards` and `client_payouts`: its objects stay outside, plain values come in.

Amounts in cents of US dollars. Raises `PaymentsOff` where no key is set, `PaymentsAway` when Stripe cannot be asked,
`PaymentsRefused` when it refuses, `CardDeclined` when it is the card that does not pay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import stripe
from django.conf import settings

from billing.errors import CardDeclined, PaymentGone, PaymentsAway, PaymentsOff, PaymentsRefused

TOLERANCE_S = 300
TIMEOUT_S = 20
CENT_NANOS = 10_000_000
USD = "usd"


@dataclass(frozen=True, slots=True)
class Payment:
    id: str
    is_paid: bool
    currency: str
    received_cents: int
    top_up: str
    customer: str = ""
    kept_card: str = ""


@dataclass(frozen=True, slots=True)
class Takeback:
    """A refund or a dispute. `is_standing`: the money is gone from us as things are."""

    id: str
    cents: int
    is_standing: bool


@dataclass(frozen=True, slots=True)
class Page:
    id: str
    url: str


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    type: str
    object_id: str


def is_on() -> bool:
    return bool(settings.STRIPE_SECRET_KEY)


def is_test_mode() -> bool:
    return "_test_" in settings.STRIPE_SECRET_KEY


def create_customer(org_id: str, name: str) -> str:
    with asking() as client:
        return client.v1.customers.create(
            {"name": name, "metadata": {"organization": org_id}}, {"idempotency_key": f"customer-{org_id}"}
        ).id


def open_checkout(top_up: str, customer: str, cents: int, back_to: str, *, keeps_card: bool = False) -> Page:
    """A page of Stripe's on which to pay; asking again for the same top-up opens the same one."""
    about: dict[str, Any] = {"metadata": {"top_up": top_up}}
    if keeps_card:
        about["setup_future_usage"] = "off_session"
    with asking() as client:
        session = client.v1.checkout.sessions.create(
            {  # type: ignore[arg-type]
                "mode": "payment",
                "customer": customer,
                "client_reference_id": top_up,
                "line_items": [
                    {
                        "quantity": 1,
                        "price_data": {
                            "currency": USD,
                            "unit_amount": cents,
                            "product_data": {"name": "ShareAI credits"},
                        },
                    }
                ],
                "metadata": {"top_up": top_up},
                "payment_intent_data": about,
                "invoice_creation": {"enabled": True},
                "success_url": f"{back_to}?paid={top_up}",
                "cancel_url": back_to,
            },
            {"idempotency_key": f"checkout-{top_up}"},
        )
        return Page(session.id, session.url or "")


def open_portal(customer: str, back_to: str) -> str:
    """Where the customer sees invoices and changes cards."""
    with asking() as client:
        return client.v1.billing_portal.sessions.create({"customer": customer, "return_url": back_to}).url


def payment_of(event_type: str, object_id: str) -> str | None:
    """The payment that an event is about, from the object as Stripe has it now."""
    with asking() as client:
        kind, _, rest = event_type.partition(".")
        if kind == "payment_intent":
            return object_id
        if event_type.startswith("checkout.session."):
            return id_of(client.v1.checkout.sessions.retrieve(object_id).payment_intent)
        if rest.startswith("dispute."):
            return id_of(client.v1.disputes.retrieve(object_id).payment_intent)
        if kind == "charge":
            return id_of(client.v1.charges.retrieve(object_id).payment_intent)
        if kind == "refund":
            return id_of(client.v1.refunds.retrieve(object_id).payment_intent)
        return None


def payment(id: str) -> Payment:
    with asking() as client:
        found = client.v1.payment_intents.retrieve(id)
        return payment_from(found)


def payment_from(found: stripe.PaymentIntent) -> Payment:
    metadata = found.metadata.to_dict() if found.metadata else {}
    kept = id_of(found.payment_method) if getattr(found, "setup_future_usage", None) else None
    return Payment(
        found.id,
        found.status == "succeeded",
        found.currency,
        found.amount_received or 0,
        str(metadata.get("top_up", "")),
        id_of(found.customer) or "",
        kept or "",
    )


def refunds_of(payment_id: str) -> list[Takeback]:
    with asking() as client:
        found = client.v1.refunds.list({"payment_intent": payment_id, "limit": 100}).auto_paging_iter()
        return [Takeback(one.id, one.amount, one.status == "succeeded") for one in found]


def disputes_of(payment_id: str) -> list[Takeback]:
    """An inquiry ("warning_…") has taken nothing yet."""
    with asking() as client:
        found = client.v1.disputes.list({"payment_intent": payment_id, "limit": 100}).auto_paging_iter()
        return [
            Takeback(one.id, one.amount, one.status not in {"won", "prevented"} and "warning" not in one.status)
            for one in found
        ]


def events_since(moment: datetime, types: Sequence[str]) -> Iterator[Event]:
    """All of these types, at most twenty, newest first; Stripe keeps them for 30 days."""
    with asking() as client:
        since = {"created": {"gte": int(moment.timestamp())}, "types": list(types), "limit": 100}
        for one in client.v1.events.list(since).auto_paging_iter():  # type: ignore[arg-type]
            yield Event(one.id, one.type, str(getattr(one.data.object, "id", "")))


def is_genuine(body: bytes, header: str, now_s: float) -> bool:
    """Signed with our secret, at most five minutes ago, and not later than in five minutes."""
    try:
        stripe.WebhookSignature.verify_header(body, header, settings.STRIPE_WEBHOOK_SECRET, TOLERANCE_S)
        signed_at_s, _ = stripe.WebhookSignature._get_timestamp_and_signatures(header, "v1")
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return bool(abs(now_s - signed_at_s) <= TOLERANCE_S)


@contextmanager
def asking(retries: int = 2) -> Iterator[stripe.StripeClient]:
    """Args: retries: what the SDK itself repeats, with the same idempotency key."""
    if not is_on():
        raise PaymentsOff
    bases: stripe._base_address.BaseAddresses = {}
    if settings.STRIPE_BASE_URL:
        bases["api"] = settings.STRIPE_BASE_URL
    try:
        yield stripe.StripeClient(
            settings.STRIPE_SECRET_KEY,
            base_addresses=bases,
            max_network_retries=retries,
            http_client=stripe.HTTPXClient(timeout=TIMEOUT_S, allow_sync_methods=True),
        )
    except stripe.CardError as error:
        raise CardDeclined(_decline_of(error)) from error
    except stripe.InvalidRequestError as error:
        raise (PaymentGone if error.http_status == 404 else PaymentsRefused(error.code or "")) from error
    except stripe.StripeError as error:
        raise PaymentsAway from error


def _decline_of(error: stripe.CardError) -> str:
    body = error.json_body if isinstance(error.json_body, dict) else {}
    said = body.get("error", {}) if error.code != "authentication_required" else {}
    return str(said.get("decline_code") or error.code or "card_declined")


def id_of(found: object) -> str | None:
    """Of an expandable field: the id, or the object."""
    return found if found is None or isinstance(found, str) else str(getattr(found, "id", ""))
