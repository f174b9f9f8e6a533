"""Sums of usage by hour and by day, exact at every commit.

An organisation's rollups are written by one transaction at a time (an advisory lock, tried and never waited for).
It takes the marks it sees and recomputes their hours from the usage rows, then their days from the hours. Usage and
its mark appear together, so at any moment an hour without a mark is summed completely: `queries` relies on it.

Hours from which usage rows have expired cannot be recomputed. A late row of such an hour is added to the sums and
deleted in the same statement.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper

from metering.models import DirtyBucket, UsageExpiry
from metering.sums import (
    DELETE_ATTEMPTS,
    DELETE_BUCKETS,
    FOLD_HOUR,
    RECOMPUTE_ATTEMPTS,
    RECOMPUTE_DAY,
    RECOMPUTE_HOUR,
    TAKE_MARKS,
)

HOURS_AT_ONCE = 500

logger = logging.getLogger(__name__)


def roll_up() -> int:
    """Recomputes what is marked. Any number of these may run at once; each hour is done by one of them.

    Returns:
        How many hours were summed.
    """
    org_ids = DirtyBucket.objects.order_by("org_id").values_list("org_id", flat=True).distinct()
    return sum(_roll_up_safely(org_id) for org_id in [*org_ids])


def _roll_up_safely(org_id: int) -> int:
    """One organisation that cannot be summed does not keep the others waiting."""
    try:
        return roll_up_organization(org_id)
    except DatabaseError:
        logger.exception("the usage of organisation %s was not summed", org_id)
        return 0


def roll_up_organization(org_id: int) -> int:
    """The marked hours of one organisation; none while another process is at it."""
    summed = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            if not claim(cursor, org_id):
                return summed
            hours = sum_marked(cursor, org_id)
        summed += hours
        if hours < HOURS_AT_ONCE:
            return summed


def claim(cursor: CursorWrapper, org_id: int) -> bool:
    """Whether this transaction may write the organisation's rollups, until it ends."""
    cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"metering.rollups.{org_id}"])
    return bool(cursor.fetchone()[0])


def sum_marked(cursor: CursorWrapper, org_id: int, before: datetime | None = None) -> int:
    """Sums up to HOURS_AT_ONCE marked hours. Must run in a transaction that made the `claim`."""
    cursor.execute(TAKE_MARKS, {"org_id": org_id, "before": before, "limit": HOURS_AT_ONCE})
    hours = sorted({row[0] for row in cursor.fetchall()})
    if not hours or not _is_known(cursor, org_id):
        return len(hours)
    expiry = UsageExpiry.objects.filter(org_id=org_id).first()
    kept = [hour for hour in hours if expiry is None or hour >= expiry.expired_before]
    cursor.execute(DELETE_BUCKETS, ["hour", org_id, kept])
    cursor.execute(DELETE_ATTEMPTS, [org_id, kept])
    for hour in hours:
        cursor.execute(RECOMPUTE_HOUR if hour in kept else FOLD_HOUR, {"org_id": org_id, "hour": hour})
        if hour in kept:
            cursor.execute(RECOMPUTE_ATTEMPTS, {"org_id": org_id, "hour": hour})
    _sum_days(cursor, org_id, sorted({hour.astimezone(UTC).replace(hour=0) for hour in hours}))
    return len(hours)


def _sum_days(cursor: CursorWrapper, org_id: int, days: list[datetime]) -> None:
    cursor.execute(DELETE_BUCKETS, ["day", org_id, days])
    for day in days:
        cursor.execute(RECOMPUTE_DAY, {"org_id": org_id, "day": day})


def _is_known(cursor: CursorWrapper, org_id: int) -> bool:
    """The usage of an organisation that was deleted is not summed: rollups belong to organisations that exist."""
    cursor.execute("SELECT EXISTS (SELECT FROM accounts_organization WHERE id = %s)", [org_id])
    return bool(cursor.fetchone()[0])
