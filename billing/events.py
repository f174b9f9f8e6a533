"""Events of Stripe: noted once, handled once, and looked for where none came."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import DataError, IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from billing import client, client_cards, crediting, topups
from billing.errors import PaymentGone, PaymentsAway, PaymentsOff, PaymentsRefused
from billing.models import EventsRead, StripeEvent, TopUp
from common.errors import CodedError

ABOUT_MONEY = (
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "payment_intent.succeeded",
    "charge.refunded", "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed",
    "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated", "refund.created", "refund.updated",
    "refund.failed", "transfer.reversed",
)  # fmt: skip
"""By name, as Stripe takes at most twenty of them for a question."""
KEPT_BY_STRIPE = timedelta(days=30)
OVERLAP = timedelta(hours=1)
"""How late Stripe may list an event of an earlier moment."""
PATIENCE = timedelta(minutes=10)
"""For who is just paying."""
ORDERS_AT_ONCE = 100
AT_ONCE = 500
LONGEST_ID = 80

logger = logging.getLogger(__name__)


def note(event_id: str, type: str, object_id: str) -> bool:
    """Whether it is new, and about money or who is paid."""
    if (
        not type.startswith(ABOUT_MONEY + crediting.OF_ACCOUNTS)
        or max(map(len, (event_id, type, object_id))) > LONGEST_ID
    ):
        return False
    with transaction.atomic():
        _, is_new = StripeEvent.objects.get_or_create(id=event_id, defaults={"type": type, "object_id": object_id})
    return is_new


def handle_waiting() -> int:
    """Those that no worker has handled yet. Returns: how many are left: most because Stripe cannot be asked."""
    waiting = StripeEvent.objects.filter(handled_at=None).order_by("received_at")
    left = 0
    for event_id in waiting.values_list("pk", flat=True)[:AT_ONCE]:
        try:
            crediting.handle(event_id)
        except (PaymentsAway, PaymentsOff) as error:
            left += 1
            logger.warning("billing: event %s waits: %s", event_id, error.__cause__ or error)
        except (DataError, IntegrityError, CodedError):
            left += 1  # for a person to look at; it keeps no other event waiting
            logger.exception("billing: event %s cannot be handled", event_id)
    return left


def find_missed() -> int:
    """Asks Stripe for events that never came, since it last told all of them. Returns: how many there were.

    Raises: PaymentsAway: what was not read yet is read by the next call.
    """
    if not client.is_on():
        return 0
    now = timezone.now()
    last = EventsRead.objects.first()
    since = max(last.until - OVERLAP, now - KEPT_BY_STRIPE) if last else now - KEPT_BY_STRIPE
    new = sum(note(event.id, event.type, event.object_id) for event in client.events_since(since, ABOUT_MONEY))
    EventsRead.objects.update_or_create(pk=1, defaults={"until": now})
    return new


def ask_about_orders() -> int:
    """Asks Stripe itself about orders that nobody has told of, those not asked about for longest first.

    Returns: how many were paid.
    """
    now = timezone.now()
    pending = TopUp.objects.filter(state=TopUp.PENDING, is_automatic=False, failure="")
    recent = pending.filter(created_at__gt=now - KEPT_BY_STRIPE, created_at__lt=now - PATIENCE)
    paid = 0
    for top_up in recent.select_related("org").order_by(F("asked_at").asc(nulls_first=True), "pk")[:ORDERS_AT_ONCE]:
        TopUp.objects.filter(pk=top_up.pk).update(asked_at=timezone.now())
        try:
            paid += _is_paid(top_up)
        except (PaymentGone, PaymentsRefused):
            logger.warning("billing: top-up %s cannot be asked about", top_up.public_id)
        except (PaymentsAway, PaymentsOff):
            break
    return paid


def _is_paid(top_up: TopUp) -> bool:
    customer = topups.customer_of(top_up.org)
    found = client_cards.find_charge(top_up.public_id, customer, top_up.created_at)
    return found is not None and found[0].is_paid and crediting.agree(found[0].id) == crediting.CREDITED
