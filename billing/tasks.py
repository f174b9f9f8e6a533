"""What Celery runs for billing."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from billing import autotopup, client, concerns, crediting, events, freezing, invoicing, monthly, payees, payouts
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
    try:
        found = events.find_missed()
    except PaymentsAway:
        logger.warning("billing: the payment service was not asked for missed events to the end")
    else:
        if found:
            logger.warning("billing: %d events had not come by themselves", found)
    events.handle_waiting()
    if paid := events.ask_about_orders():
        logger.warning("billing: %d orders were paid and nothing had told so", paid)


@shared_task(name="billing.top_up_automatically")
def top_up_automatically() -> None:
    if client.is_on():
        autotopup.run()


@shared_task(name="billing.make_invoices")
def make_invoices() -> None:
    if client.is_on():
        invoicing.make_missing()


@shared_task(name="billing.freeze_month")
def freeze_month() -> None:
    """From the day of the month that the operator set; later calls of the same month find it done."""
    now = timezone.now()
    if now.day >= settings.PAYOUT_DAY:
        freezing.freeze_month(freezing.period_at(now))


@shared_task(name="billing.send_payouts")
def send_payouts() -> None:
    if client.is_on():
        payouts.send_due()


@shared_task(name="billing.look_at_payees")
def look_at_payees() -> None:
    if client.is_on():
        payees.look_at_incomplete()


@shared_task(name="billing.look_for_concerns")
def look_for_concerns() -> None:
    concerns.look()


@shared_task(name="billing.close_months")
def close_months() -> None:
    monthly.close_months(timezone.now())


def hand_over(event_id: str) -> None:
    """To a worker; without Redis it waits for the next round."""
    try:
        handle_event.delay(event_id)
    except OperationalError as error:
        logger.warning("billing: event %s waits for the next round: %s", event_id, error)
