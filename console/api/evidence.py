"""How targets have been doing, as far as the organisation's own requests tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from accounts.models import Organization
from console.health import Attempts, recent_attempts

A_DAY = timedelta(days=1)
_MOST_SPEEDS = 20_000

_FIRST_TOKENS = """
    SELECT {name}, percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_ms)
    FROM (
        SELECT {name}, ttft_ms FROM metering_usage
        WHERE org_id = %s AND started_at >= %s AND ttft_ms IS NOT NULL ORDER BY started_at DESC LIMIT %s
    ) AS measured
    GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """By target, `<provider>/<model>`, and the speed by the model that was asked for as well."""

    attempts: Mapping[str, Attempts] = field(default_factory=dict)
    p50_of_target: Mapping[str, float] = field(default_factory=dict)
    p50_of_model: Mapping[str, float] = field(default_factory=dict)


def evidence_of(organization: Organization, now: Callable[[], datetime] = timezone.now) -> Evidence:
    """The attempts of the last minutes; the median time to the first token, in ms, of the last day."""
    measured = []
    with connection.cursor() as cursor:
        for name in ("target", "model"):
            cursor.execute(_FIRST_TOKENS.format(name=name), [organization.pk, now() - A_DAY, _MOST_SPEEDS])
            measured.append({found: round(float(p50_ms), 1) for found, p50_ms in cursor.fetchall() if found})
    return Evidence(recent_attempts(organization), *measured)
