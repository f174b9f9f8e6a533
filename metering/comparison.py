"""Targets compared as they served this organisation: first token, speed, failures; for each model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.models import Organization

# A caller's own mistake is no failure of the target that explained it; who hung up does not tell of it either, nor
# does a second target that was asked besides and began first.
_NOT_ITS_FAULT = ("rejected_request", "cancelled", "hedge_lost")
_ATTEMPTS = """
WITH tried AS (
    SELECT coalesce((a.used ->> 'output_tokens')::bigint, u.output_tokens) AS output_tokens, u.stream,
           coalesce((a.used ->> 'cost_nanos')::bigint, u.cost_nanos) AS cost_nanos,
           a.target, a.outcome, a.duration_ms, a.ttft_ms
    FROM metering_usage u,
         jsonb_to_recordset(u.attempts) AS a(target text, outcome text, duration_ms int, ttft_ms int, used jsonb)
    WHERE u.org_id = %s AND u.started_at >= %s AND u.started_at < %s AND a.outcome <> ALL(%s)
)
SELECT target,
       count(*),
       count(*) FILTER (WHERE outcome <> 'ok'),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_ms) FILTER (WHERE outcome = 'ok'),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY ttft_ms) FILTER (WHERE outcome = 'ok'),
       percentile_cont(0.5) WITHIN GROUP (
           ORDER BY output_tokens * 1000.0
                    / nullif(duration_ms - CASE WHEN stream THEN coalesce(ttft_ms, 0) ELSE 0 END, 0)
       ) FILTER (WHERE outcome = 'ok' AND output_tokens > 0),
       coalesce(sum(cost_nanos) FILTER (WHERE outcome = 'ok'), 0)::bigint
FROM tried GROUP BY target ORDER BY target
"""


@dataclass(frozen=True, slots=True)
class Served:
    """What one target did. Times are medians and 95th percentiles of answers; None where nothing was measured."""

    target: str
    attempts: int
    failures: int
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    tokens_per_s: float | None
    cost_nanos: int

    @property
    def failure_rate(self) -> float:
        return self.failures / self.attempts if self.attempts else 0.0


def compare_targets(org: Organization, from_: datetime, to: datetime) -> list[Served]:
    """Of attempts in [from_, to): each try counts for the target that was tried, whoever answered in the end."""
    with connection.cursor() as cursor:
        cursor.execute(_ATTEMPTS, [org.pk, from_, to, [*_NOT_ITS_FAULT]])
        return [_served(*row) for row in cursor.fetchall()]


def _served(target: str, attempts: int, failures: int, *rest: Any) -> Served:
    """PostgreSQL divides to NUMERIC."""
    p50_ms, p95_ms, tokens_per_s = (None if figure is None else float(figure) for figure in rest[:3])
    return Served(target, attempts, failures, p50_ms, p95_ms, tokens_per_s, int(rest[3]))
