"""What Celery runs for providers."""

from __future__ import annotations

from celery import shared_task

from providers import alerts, breakers, prices, pulses, recovery


@shared_task(name="providers.retry_parked_keys")
def retry_parked_keys() -> None:
    recovery.retry_parked_keys()


@shared_task(name="providers.probe_connections")
def probe_connections() -> None:
    pulses.probe_due()


@shared_task(name="providers.mail_alerts")
def mail_alerts() -> None:
    alerts.mail_alerts()


@shared_task(name="providers.forget_old_health")
def forget_old_health() -> None:
    breakers.forget_old_health()


@shared_task(name="providers.sync_prices")
def sync_prices() -> None:
    prices.sync_prices()
