"""What live traffic proves of targets: whoever answered lately needs no probe."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connection

_ANSWERED = """
    SELECT target_id, max(started_at) FROM metering_usage
    WHERE started_at >= %s AND target_id = ANY(%s) AND status < 400 AND cache <> 'HIT'
    GROUP BY target_id
"""


def answered_since(since: datetime, target_ids: Iterable[int]) -> dict[int, datetime]:
    """When each of these targets was last asked something that it answered well, as far as it is recorded yet."""
    with connection.cursor() as cursor:
        cursor.execute(_ANSWERED, [since, list(target_ids)])
        return dict(cursor.fetchall())
