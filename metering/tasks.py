"""What Celery runs for metering."""

from __future__ import annotations

import logging
from datetime import datetime

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import Organization
from metering import alerts, contents, exports, findings, partitions, retention, rollups

EXPORT_FOR_S = 60
"""Then it lets other tasks come first."""

logger = logging.getLogger(__name__)


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


@shared_task(name="metering.write_export")
def write_export(export_id: int) -> None:
    if exports.work(export_id, EXPORT_FOR_S):
        hand_over_export(export_id)


@shared_task(name="metering.sweep_exports")
def sweep_exports() -> None:
    """Goes on with those that lost their worker, and deletes what is past its day."""
    now = timezone.now()
    exports.expire(now)
    for export_id in exports.left_alone(now):
        write_export(export_id)


def hand_over_export(export_id: int) -> None:
    """To a worker; without Redis it waits for the next sweep."""
    try:
        write_export.delay(export_id)
    except OperationalError as error:
        logger.warning("metering: export %s waits for the next sweep: %s", export_id, error)


@shared_task(name="metering.find")
def find(org_id: int, window: str) -> None:
    organization = Organization.objects.filter(pk=org_id, deleted_at=None).first()
    if organization is not None:
        findings.keep(organization, window)


def hand_over_findings(organization: Organization, window: str, now: datetime) -> None:
    """To a worker, unless one is at it; without Redis whoever looks next tries again."""
    if not findings.begin(organization, window, now):
        return
    try:
        find.delay(organization.pk, window)
    except OperationalError as error:
        findings.release(organization, window)
        logger.warning("metering: nobody looks into the usage of %s: %s", organization.public_id, error)
