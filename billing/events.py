"""Events of Stripe: noted once, handled once, and looked for where none came."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from billing import client, crediting
from billing.errors import PaymentsAway, PaymentsOff
from billing.models import StripeEvent
from common.errors import CodedError

ABOUT_MONEY = (
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "payment_intent.succeeded",
    "charge.refunded", "charge.dispute.", "refund.", "transfer.reversed",
)  # fmt: skip
LOOK_BACK = timedelta(hours=26)
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
    """Asks Stripe for events of the last day that never came. Returns: how many there were."""
    if not client.is_on():
        return 0
    told = list(client.events_since(timezone.now() - LOOK_BACK))
    return sum(note(event.id, event.type, event.object_id) for event in told)
