"""What Celery runs for providers."""

from __future__ import annotations

from celery import shared_task

from providers import prices, recovery


@shared_task(name="providers.retry_parked_keys")
def retry_parked_keys() -> None:
    recovery.retry_parked_keys()


@shared_task(name="providers.sync_prices")
def sync_prices() -> None:
    prices.sync_prices()
