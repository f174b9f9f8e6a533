"""Deletes usage rows after each organisation's `retention_days`. Their sums stay in the rollups."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts.models import Organization
from metering import partitions
from metering.models import Usage
from metering.rollups import HOURS_AT_ONCE, claim, sum_marked

DAY = timedelta(days=1)
NOTE_EXPIRY = """
    INSERT INTO metering_usageexpiry AS e (org_id, expired_before) VALUES (%s, %s)
    ON CONFLICT (org_id) DO UPDATE SET expired_before = greatest(e.expired_before, excluded.expired_before)
"""

logger = logging.getLogger(__name__)


def expire_usage(now: datetime | None = None) -> int:
    """Deletes what is older than its organisation keeps, whole days in UTC, one day per transaction.

    An organisation whose rollups are being written at that moment is left for the next time.

    Returns:
        How many rows were deleted.
    """
    today = _day(now or timezone.now())
    horizons = {
        org_id: today - timedelta(days=days)
        for org_id, days in Organization.objects.values_list("pk", "retention_days")
    }
    deleted = sum(_expire_safely(org_id, horizon) for org_id, horizon in horizons.items())
    longest_kept = min(horizons.values(), default=today)
    deleted += _delete_ownerless(longest_kept)
    for name in partitions.partitions_before(longest_kept):
        partitions.drop_if_empty(name)
    return deleted


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _expire_safely(org_id: int, horizon: datetime) -> int:
    try:
        return _expire(org_id, horizon)
    except DatabaseError:
        logger.exception("the old usage of organisation %s stays for now", org_id)
        return 0


def _expire(org_id: int, horizon: datetime) -> int:
    rows = Usage.objects.filter(org_id=org_id, started_at__lt=horizon).order_by("started_at")
    oldest = rows.values_list("started_at", flat=True).first()
    if oldest is None:
        return 0
    days = range((horizon - _day(oldest)) // DAY)
    return sum(_expire_before(org_id, _day(oldest) + (number + 1) * DAY) for number in days)


def _expire_before(org_id: int, end: datetime) -> int:
    """Sums what is marked and deletes it by one snapshot, so each row deleted is a row summed.

    A row that arrives meanwhile is in neither; its mark stays, and the rollups add it later. Rollups that were
    committed between our snapshot and our lock took marks that we see: taking them again fails, and nothing is done.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        if not claim(cursor, org_id):
            return 0
        while sum_marked(cursor, org_id, before=end) == HOURS_AT_ONCE:
            pass
        cursor.execute(NOTE_EXPIRY, [org_id, end])
        cursor.execute("DELETE FROM metering_usage WHERE org_id = %s AND started_at < %s", [org_id, end])
        return int(cursor.rowcount)


def _delete_ownerless(before: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM metering_usage u WHERE started_at < %s "
            "AND NOT EXISTS (SELECT FROM accounts_organization o WHERE o.id = u.org_id)",
            [before],
        )
        return int(cursor.rowcount)
