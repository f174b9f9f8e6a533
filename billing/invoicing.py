"""Invoices of automatic top-ups. Checkout makes one of what it takes; of a card that is charged alone, nobody does.

    draft ─► line ─► finalised ─► payment attached ─► noted here

Credits never wait for paper: the payment is taken and credited first, and its invoice made by a later round. How far
it is, Stripe says, never we: each round finds the invoice by its order, and takes the steps that are missing. So one
that died between any two of them, or never heard an answer, makes neither a second invoice nor a second line.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from billing import client_invoices, topups
from billing.client_invoices import DRAFT, OPEN, Invoice
from billing.errors import PaymentGone, PaymentsAway, PaymentsOff, PaymentsRefused
from billing.models import TopUp

AT_ONCE = 50
MOST_UNHEARD = 3
"""Orders in a round of which Stripe says nothing; then it is away, and the round over."""
REFUSED_FOR = timedelta(hours=6)
"""After a refusal a person has to look at it in Stripe; it is tried again all the same."""
ANOTHER_AMOUNT = "its invoice has another amount"

logger = logging.getLogger(__name__)


def make_missing(now: datetime | None = None) -> int:
    """One round. Returns: how many invoices were finished."""
    moment = now or timezone.now()
    mine = TopUp.objects.filter(is_automatic=True, state=TopUp.PAID, invoice_id="")
    due = mine.filter(Q(asked_at=None) | Q(asked_at__lt=moment - REFUSED_FOR)).order_by("paid_at", "pk")
    made = unheard = 0
    for pk in due.values_list("pk", flat=True)[:AT_ONCE]:
        try:
            made += _invoice(pk)
        except (PaymentsRefused, PaymentGone) as refusal:
            TopUp.objects.filter(pk=pk).update(asked_at=moment)
            why = getattr(refusal, "reason", "") or "something is gone"
            logger.error("billing: top-up %s gets no invoice for now: %s", pk, why)
        except (PaymentsAway, PaymentsOff) as error:
            logger.warning("billing: the invoice of top-up %s waits: %s", pk, error.__cause__)
            unheard += 1
            if unheard == MOST_UNHEARD:
                break
    return made


def _invoice(pk: int) -> bool:
    """The order's row is held meanwhile, so no other worker stands between the same two steps."""
    with transaction.atomic():
        mine = TopUp.objects.select_for_update(skip_locked=True, of=("self",)).select_related("org")
        top_up = mine.filter(pk=pk, invoice_id="").first()
        if top_up is None:
            return False
        top_up.invoice_id = _finished(top_up).id
        top_up.save(update_fields=["invoice_id"])
    return True


def _finished(top_up: TopUp) -> Invoice:
    assert top_up.paid_at is not None  # as it is paid
    order, customer, cents = top_up.public_id, topups.customer_of(top_up.org), top_up.received_cents or 0
    invoice = client_invoices.find(order, customer, top_up.created_at)
    if invoice is None:
        invoice = client_invoices.draft(order, customer, top_up.paid_at)
    if invoice.state in (DRAFT, OPEN) and invoice.total_cents not in (0, cents):
        raise PaymentsRefused(ANOTHER_AMOUNT)
    if invoice.state == DRAFT:
        if not invoice.total_cents:
            client_invoices.add_line(order, customer, invoice.id, cents)
        invoice = client_invoices.finalize(invoice.id)
    if invoice.state == OPEN:
        invoice = client_invoices.attach(invoice.id, str(top_up.payment_id))
    return invoice
