"""What live traffic proves of targets: whoever answered lately needs no probe; how attempts went day by day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection

from accounts.models import Organization
from metering.models import AttemptSum

_ANSWERED = """
    SELECT target_id, max(started_at) FROM metering_usage
    WHERE started_at >= %s AND target_id = ANY(%s) AND status < 400 AND cache <> 'HIT'
    GROUP BY target_id
"""
_BY_DAY = """
    SELECT (starts_at AT TIME ZONE 'UTC')::date AS day, target, sum(attempts)::bigint, sum(failed)::bigint
    FROM metering_attemptsum WHERE org_id = %s AND starts_at >= %s GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class DayOfAttempts:
    """How one organisation's attempts at one target went on one day, in UTC."""

    day: date
    target: str
    attempts: int
    failed: int


def attempts_by_day(organization: Organization, since: datetime) -> list[DayOfAttempts]:
    """As far as they are summed: a few seconds behind."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_DAY, [organization.pk, since])
        return [DayOfAttempts(*row) for row in cursor.fetchall()]


def forget_attempts(before: datetime) -> None:
    AttemptSum.objects.filter(starts_at__lt=before).delete()


def answered_since(since: datetime, target_ids: Iterable[int]) -> dict[int, datetime]:
    """When each of these targets was last asked something that it answered well, as far as it is recorded yet."""
    with connection.cursor() as cursor:
        cursor.execute(_ANSWERED, [since, list(target_ids)])
        return dict(cursor.fetchall())
