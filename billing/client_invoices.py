"""The door to Stripe for invoices of payments that were taken without one: those with nobody there.

Raises as `billing.client`. Nothing here is repeated by the SDK: who does not know what came of a step finds the
invoice again by its order, and sees how far it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.client import USD, asking

DRAFT, OPEN = "draft", "open"
MOST = 100


@dataclass(frozen=True, slots=True)
class Invoice:
    """`state` is Stripe's: DRAFT, OPEN, or what nothing changes any more."""

    id: str
    state: str
    total_cents: int


def find(order: str, customer: str, since: datetime) -> Invoice | None:
    """The invoice of an order of credits."""
    with asking() as client:
        newer = {"customer": customer, "created": {"gte": int(since.timestamp()) - 60}, "limit": MOST}
        for one in client.v1.invoices.list(newer).auto_paging_iter():  # type: ignore[arg-type]
            metadata = getattr(one, "metadata", None)
            if metadata and metadata.to_dict().get("top_up") == order:
                return _told(one)
        return None


def draft(order: str, customer: str, paid_at: datetime) -> Invoice:
    """An empty one. Stripe is told to collect nothing by it, and to put nothing on it by itself."""
    with asking(retries=0) as client:
        return _told(
            client.v1.invoices.create(
                {
                    "customer": customer,
                    "currency": USD,
                    "auto_advance": False,
                    "collection_method": "charge_automatically",
                    "pending_invoice_items_behavior": "exclude",
                    "effective_at": int(paid_at.timestamp()),
                    "metadata": {"top_up": order},
                },
                {"idempotency_key": f"invoice-{order}"},
            )
        )


def add_line(order: str, customer: str, invoice: str, cents: int) -> None:
    with asking(retries=0) as client:
        client.v1.invoice_items.create(
            {
                "customer": customer,
                "invoice": invoice,
                "amount": cents,
                "currency": USD,
                "description": "ShareAI credits, automatic top-up",
            },
            {"idempotency_key": f"invoice-line-{order}"},
        )


def finalize(invoice: str) -> Invoice:
    """From here on it has a number, and nothing on it changes."""
    with asking(retries=0) as client:
        return _told(client.v1.invoices.finalize_invoice(invoice, {"auto_advance": False}))


def attach(invoice: str, payment_id: str) -> Invoice:
    """Says that this payment has paid it."""
    with asking(retries=0) as client:
        return _told(client.v1.invoices.attach_payment(invoice, {"payment_intent": payment_id}))


def pdf_of(invoice: str) -> str:
    """The address of its PDF; "" where there is none."""
    with asking() as client:
        return client.v1.invoices.retrieve(invoice).invoice_pdf or ""


def _told(one: Any) -> Invoice:
    """Of Stripe's own object."""
    return Invoice(one.id, str(one.status), one.total)
