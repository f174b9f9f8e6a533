"""The monthly partitions of `metering_usage`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

STRAY = "metering_usage_stray"
LOCK_TIMEOUT_S = 5


def ensure_partitions(months_ahead: int = 2, now: datetime | None = None) -> list[str]:
    """Makes the partitions of this month and the next ones where they are missing, each in its own transaction.

    Rows of such a month that had to go to the stray partition move over.

    Returns:
        The names of the partitions made.

    Raises:
        OperationalError: readers or writers did not make way within LOCK_TIMEOUT_S; try again later.
    """
    months = _months(now or timezone.now(), months_ahead + 2)
    first = next(months)
    made = []
    for following in months:
        if _ensure(first, following):
            made.append(partition_name(first))
        first = following
    return made


def partitions_before(moment: datetime) -> list[str]:
    """The monthly partitions that end at this moment or earlier."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'metering_usage'::regclass"
        )
        names = [row[0] for row in cursor.fetchall()]
    current = partition_name(moment.astimezone(UTC))
    return sorted(name for name in names if name != STRAY and name < current)


def drop_if_empty(name: str) -> bool:
    """Raises OperationalError when readers or writers did not make way within LOCK_TIMEOUT_S."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
        cursor.execute(f"SELECT EXISTS (SELECT FROM {name})")  # noqa: S608
        if cursor.fetchone()[0]:
            return False
        # A row may come between the look and the lock; so look again behind it.
        cursor.execute(f"LOCK TABLE metering_usage, {name} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(f"SELECT EXISTS (SELECT FROM {name})")  # noqa: S608
        if cursor.fetchone()[0]:
            return False
        cursor.execute(f"DROP TABLE {name}")
        return True


def table_exists() -> bool:
    with connection.cursor() as cursor:
        return _exists(cursor, "metering_usage")


def partition_name(month: datetime) -> str:
    return f"metering_usage_{month:%Y_%m}"


def _months(start: datetime, count: int) -> Iterator[datetime]:
    zero_based = start.astimezone(UTC).year * 12 + start.astimezone(UTC).month - 1
    for number in range(zero_based, zero_based + count):
        yield datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _ensure(first: datetime, following: datetime) -> bool:
    name = partition_name(first)
    with transaction.atomic(), connection.cursor() as cursor:
        if _exists(cursor, name):
            return False
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('metering.partitions'))")
        if _exists(cursor, name):  # by another process, while we waited
            return False
        # Until this commits nobody adds a stray row, else the new partition could not claim its month.
        cursor.execute(f"LOCK TABLE {STRAY} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(f"CREATE TABLE {name} (LIKE metering_usage INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(
            f"WITH moved AS (DELETE FROM {STRAY} WHERE started_at >= %s AND started_at < %s RETURNING *) "  # noqa: S608
            f"INSERT INTO {name} SELECT * FROM moved",
            [first, following],
        )
        cursor.execute(
            f"ALTER TABLE metering_usage ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", [first, following]
        )
        return True


def _exists(cursor: CursorWrapper, name: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
    return bool(cursor.fetchone()[0])
