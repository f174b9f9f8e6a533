"""What Celery runs for billing."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from billing import crediting, events, monthly
from billing.errors import PaymentsAway

logger = logging.getLogger(__name__)


@shared_task(name="billing.handle_event")
def handle_event(event_id: str) -> None:
    try:
        crediting.handle(event_id)
    except PaymentsAway:
        logger.warning("billing: event %s waits: the payment service does not answer", event_id)


@shared_task(name="billing.handle_events")
def handle_events() -> None:
    events.handle_waiting()


@shared_task(name="billing.find_missed_events")
def find_missed_events() -> None:
    found = events.find_missed()
    if found:
        logger.warning("billing: %d events had not come by themselves", found)
        events.handle_waiting()


@shared_task(name="billing.close_months")
def close_months() -> None:
    monthly.close_months(timezone.now())


def hand_over(event_id: str) -> None:
    """To a worker; without Redis it waits for the next round."""
    try:
        handle_event.delay(event_id)
    except OperationalError as error:
        logger.warning("billing: event %s waits for the next round: %s", event_id, error)
