"""What Celery runs for metering."""

from __future__ import annotations

from celery import shared_task

from metering import alerts, contents, partitions, retention, rollups


@shared_task(name="metering.roll_up")
def roll_up() -> None:
    rollups.roll_up()


@shared_task(name="metering.ensure_partitions")
def ensure_partitions() -> None:
    partitions.ensure_partitions()


@shared_task(name="metering.expire_usage")
def expire_usage() -> None:
    retention.expire_usage()


@shared_task(name="metering.expire_contents")
def expire_contents() -> None:
    contents.expire()


@shared_task(name="metering.watch_budgets")
def watch_budgets() -> None:
    alerts.watch_budgets()
