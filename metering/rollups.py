"""Sums of usage by hour and by day, exact at every commit.

An organisation's rollups are written by one transaction at a time (an advisory lock, tried and never waited for).
It takes the marks it sees and recomputes their hours from the usage rows, then their days from the hours. Usage and
its mark appear together, so at any moment an hour without a mark is summed completely: `reports` relies on it.

Days are those of the organisation's time zone; after it moved, all of them are summed anew from the hours.

Hours from which usage rows have expired cannot be recomputed. A late row of such an hour is added to the sums and
deleted in the same statement.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper

from ledger.posting import Cursor
from metering.models import UsageExpiry
from metering.sums import (
    ADD_CHARGED,
    DAYS_OF,
    DELETE_ATTEMPTS,
    DELETE_BUCKETS,
    DELETE_DAYS,
    FOLD_HOUR,
    KEEP_ZONE,
    RECOMPUTE_ALL_DAYS,
    RECOMPUTE_ATTEMPTS,
    RECOMPUTE_DAYS,
    RECOMPUTE_HOUR,
    TAKE_MARKS,
    WAITING,
    ZONES,
)

HOURS_AT_ONCE = 500

logger = logging.getLogger(__name__)


def roll_up() -> int:
    """Recomputes what is marked. Any number of these may run at once; each hour is done by one of them.

    Returns:
        How many hours were summed.
    """
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        org_ids = [row[0] for row in cursor.fetchall()]
    return sum(_roll_up_safely(org_id) for org_id in org_ids)


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


def charged_otherwise(cursor: Cursor, org_id: int, changes: Sequence[tuple[str, int]]) -> None:
    """Notes that requests of the past were charged so many nano-USD more or less. In the charges' own transaction.

    Where usage has expired, nobody knows any more which key or model it was: the sums of the hour as a whole change.

    Args:
        changes: when each request started, and the difference.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"metering.rollups.{org_id}"])
    started_at, nanos = map(list, zip(*changes, strict=True))
    cursor.execute(ADD_CHARGED, {"org_id": org_id, "started_at": started_at, "nanos": nanos})


def claim(cursor: CursorWrapper, org_id: int) -> bool:
    """Whether this transaction may write the organisation's rollups, until it ends."""
    cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"metering.rollups.{org_id}"])
    return bool(cursor.fetchone()[0])


def sum_marked(cursor: CursorWrapper, org_id: int, before: datetime | None = None) -> int:
    """Sums up to HOURS_AT_ONCE marked hours. Must run in a transaction that made the `claim`."""
    zone = _follow_zone(cursor, org_id)
    cursor.execute(TAKE_MARKS, {"org_id": org_id, "before": before, "limit": HOURS_AT_ONCE})
    hours = sorted({row[0] for row in cursor.fetchall()})
    if not hours or zone is None:
        return len(hours)
    expiry = UsageExpiry.objects.filter(org_id=org_id).first()
    kept = [hour for hour in hours if expiry is None or hour >= expiry.expired_before]
    cursor.execute(DELETE_BUCKETS, ["hour", org_id, kept])
    cursor.execute(DELETE_ATTEMPTS, [org_id, kept])
    for hour in hours:
        cursor.execute(RECOMPUTE_HOUR if hour in kept else FOLD_HOUR, {"org_id": org_id, "hour": hour})
        if hour in kept:
            cursor.execute(RECOMPUTE_ATTEMPTS, {"org_id": org_id, "hour": hour})
    _sum_days(cursor, org_id, hours, zone)
    return len(hours)


def _sum_days(cursor: CursorWrapper, org_id: int, hours: list[datetime], zone: str) -> None:
    cursor.execute(DAYS_OF, [zone, hours])
    days = [row[0] for row in cursor.fetchall()]
    cursor.execute(DELETE_BUCKETS, ["day", org_id, days])
    cursor.execute(RECOMPUTE_DAYS, {"org_id": org_id, "days": days, "zone": zone})


def _follow_zone(cursor: CursorWrapper, org_id: int) -> str | None:
    """The zone whose days are summed; None for an organisation that was deleted, whose usage is not summed."""
    cursor.execute(ZONES, [org_id])
    found = cursor.fetchone()
    if found is None:
        return None
    zone, summed = found
    if zone != summed:
        for statement in (DELETE_DAYS, RECOMPUTE_ALL_DAYS, KEEP_ZONE):
            cursor.execute(statement, {"org_id": org_id, "zone": zone})
    return str(zone)
