"""How targets have been doing, as far as the organisation's own requests tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from accounts.models import Organization

RECENT = timedelta(minutes=5)
A_DAY = timedelta(days=1)
_MOST_RECENT = 1000
_MOST_SPEEDS = 20_000
_DOWN_SHARE = 0.5

_ATTEMPTS = """
    SELECT attempt ->> 'target', count(*) FILTER (WHERE attempt ->> 'outcome' = 'ok'), count(*), max(started_at)
    FROM (
        SELECT started_at, attempts FROM metering_usage
        WHERE org_id = %s AND started_at >= %s ORDER BY started_at DESC LIMIT %s
    ) AS recent, jsonb_array_elements(attempts) AS attempt
    GROUP BY 1
"""
_FIRST_TOKENS = """
    SELECT {name}, percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_ms)
    FROM (
        SELECT {name}, ttft_ms FROM metering_usage
        WHERE org_id = %s AND started_at >= %s AND ttft_ms IS NOT NULL ORDER BY started_at DESC LIMIT %s
    ) AS measured
    GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Health:
    """`state` is "healthy", "degraded" (failing at times) or "down" (failing more than half of the time)."""

    state: str
    attempts: int
    failed: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """By target, `<provider>/<model>`, and the speed by the model that was asked for as well."""

    health: Mapping[str, Health] = field(default_factory=dict)
    p50_of_target: Mapping[str, float] = field(default_factory=dict)
    p50_of_model: Mapping[str, float] = field(default_factory=dict)


def evidence_of(organization: Organization, now: Callable[[], datetime] = timezone.now) -> Evidence:
    """Health of the last minutes; the median time to the first token, in ms, of the last day."""
    with connection.cursor() as cursor:
        cursor.execute(_ATTEMPTS, [organization.pk, now() - RECENT, _MOST_RECENT])
        health = {target: _health(good, total, at) for target, good, total, at in cursor.fetchall()}
        measured = []
        for name in ("target", "model"):
            cursor.execute(_FIRST_TOKENS.format(name=name), [organization.pk, now() - A_DAY, _MOST_SPEEDS])
            measured.append({found: round(float(p50_ms), 1) for found, p50_ms in cursor.fetchall() if found})
    return Evidence(health, *measured)


def _health(good: int, total: int, last_at: datetime) -> Health:
    failed = total - good
    if failed == 0:
        return Health("healthy", total, 0, last_at)
    return Health("down" if failed / total > _DOWN_SHARE else "degraded", total, failed, last_at)
