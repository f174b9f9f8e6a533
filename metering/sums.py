"""The SQL that sums usage: what the rollups store and what reports add up. Made of the names in this file alone."""
# ruff: noqa: S608

from __future__ import annotations

BUCKET = ("model", "route", "target", "key_id", "user_id")

# An error is an answer with a code or a status of 400 and more; a caller who hung up (499) made none.
_FIGURES_OF_ONE = {
    "requests": "1",
    "errors": "(u.status <> 499 AND (u.status >= 400 OR u.error_code <> ''))::int",
    "input_tokens": "u.input_tokens",
    "cached_tokens": "u.cached_tokens",
    "output_tokens": "u.output_tokens",
    "cost_nanos": "u.cost_nanos",
    "duration_ms_sum": "u.duration_ms",
    "ttft_ms_sum": "coalesce(u.ttft_ms, 0)",
    "ttft_count": "(u.ttft_ms IS NOT NULL)::int",
}
FIGURES = tuple(_FIGURES_OF_ONE)

_HOUR = "date_trunc('hour', u.started_at, 'UTC')"
_BUCKET_OF_ONE = "u.model, u.route, u.target, coalesce(u.key_id, 0), coalesce(u.user_id, 0)"
_COLUMNS = ", ".join(("period", "org_id", "starts_at", *BUCKET, *FIGURES))
_SUMS_OF_USAGE = ", ".join(f"sum({figure})::bigint" for figure in _FIGURES_OF_ONE.values())
_SUMS = ", ".join(f"sum({name})::bigint" for name in FIGURES)


def _by_hour(usage: str) -> str:
    return f"""
        SELECT 'hour', u.org_id, {_HOUR}, {_BUCKET_OF_ONE}, {_SUMS_OF_USAGE}
        FROM {usage} u GROUP BY u.org_id, {_HOUR}, {_BUCKET_OF_ONE}
    """


_OF_THIS_HOUR = """
    metering_usage WHERE org_id = %(org_id)s AND started_at >= %(hour)s AND started_at < %(hour)s + interval '1 hour'
"""
_NOT_ITS_FAULT = "'ok', 'cancelled', 'hedge_lost', 'rejected_request', 'rate_limited', 'unauthorized'"


def _attempts_by_target(usage: str) -> str:
    return f"""
        INSERT INTO metering_attemptsum (org_id, starts_at, target, attempts, failed)
        SELECT u.org_id, {_HOUR}, left(attempt.target, 260), count(*),
            count(*) FILTER (WHERE attempt.outcome NOT IN ({_NOT_ITS_FAULT}))
        FROM {usage} u, jsonb_to_recordset(u.attempts) AS attempt (target text, outcome text)
        GROUP BY 1, 2, 3
    """


RECOMPUTE_ATTEMPTS = f"WITH kept AS (SELECT * FROM {_OF_THIS_HOUR}) {_attempts_by_target('kept')}"
DELETE_ATTEMPTS = "DELETE FROM metering_attemptsum WHERE org_id = %s AND starts_at = ANY(%s)"
RECOMPUTE_HOUR = f"""
    WITH kept AS (SELECT * FROM {_OF_THIS_HOUR})
    INSERT INTO metering_rollup ({_COLUMNS}) {_by_hour("kept")}
"""
FOLD_HOUR = f"""
    WITH gone AS (DELETE FROM {_OF_THIS_HOUR} RETURNING *), attempts AS (
        {_attempts_by_target("gone")}
        ON CONFLICT ON CONSTRAINT attempt_sum_once DO UPDATE SET
            attempts = metering_attemptsum.attempts + excluded.attempts,
            failed = metering_attemptsum.failed + excluded.failed
    )
    INSERT INTO metering_rollup ({_COLUMNS}) {_by_hour("gone")}
    ON CONFLICT ON CONSTRAINT rollup_bucket_once
    DO UPDATE SET {", ".join(f"{name} = metering_rollup.{name} + excluded.{name}" for name in FIGURES)}
"""
RECOMPUTE_DAY = f"""
    INSERT INTO metering_rollup ({_COLUMNS})
    SELECT 'day', org_id, %(day)s, {", ".join(BUCKET)}, {_SUMS}
    FROM metering_rollup
    WHERE period = 'hour' AND org_id = %(org_id)s
      AND starts_at >= %(day)s AND starts_at < %(day)s + interval '1 day'
    GROUP BY org_id, {", ".join(BUCKET)}
"""
DELETE_BUCKETS = "DELETE FROM metering_rollup WHERE period = %s AND org_id = %s AND starts_at = ANY(%s)"
TAKE_MARKS = """
    DELETE FROM metering_dirtybucket WHERE org_id = %(org_id)s AND hour IN (
        SELECT DISTINCT hour FROM metering_dirtybucket
        WHERE org_id = %(org_id)s AND hour < coalesce(%(before)s::timestamptz, 'infinity')
        ORDER BY hour LIMIT %(limit)s
    ) RETURNING hour
"""

_OF_ROLLUP = ", ".join(f"r.{name}" for name in ("starts_at", *BUCKET, *FIGURES))
_OF_ONE = ", ".join((f"{_HOUR} AS starts_at", _BUCKET_OF_ONE, *_FIGURES_OF_ONE.values()))
# Days and hours that are summed completely, and the usage rows of everything else.
_PARTS = f"""
WITH dirty AS MATERIALIZED (
    SELECT DISTINCT hour FROM metering_dirtybucket
    WHERE org_id = %(org_id)s AND hour >= %(first_hour)s AND hour < %(last_hour)s
), expired AS MATERIALIZED (
    SELECT coalesce(max(expired_before), '-infinity') AS before FROM metering_usageexpiry WHERE org_id = %(org_id)s
), slices AS (
    SELECT hour AS starts_at, hour + interval '1 hour' AS ends_at FROM dirty
    UNION ALL
    SELECT * FROM unnest(%(edge_starts)s::timestamptz[], %(edge_ends)s::timestamptz[])
), parts AS (
    SELECT {_OF_ROLLUP} FROM metering_rollup r
    WHERE r.period = 'day' AND r.org_id = %(org_id)s
      AND r.starts_at >= %(first_day)s AND r.starts_at < %(last_day)s
      AND NOT EXISTS (SELECT FROM dirty WHERE date_trunc('day', dirty.hour, 'UTC') = r.starts_at)
    UNION ALL
    SELECT {_OF_ROLLUP} FROM metering_rollup r, expired
    WHERE r.period = 'hour' AND r.org_id = %(org_id)s
      AND r.starts_at >= %(first_hour)s AND r.starts_at < %(last_hour)s
      AND (
          r.starts_at < %(first_day)s OR r.starts_at >= %(last_day)s
          OR date_trunc('day', r.starts_at, 'UTC') IN (SELECT date_trunc('day', hour, 'UTC') FROM dirty)
      )
      -- What arrived late for an expired hour comes on top of its sums.
      AND (r.starts_at < expired.before OR r.starts_at NOT IN (SELECT hour FROM dirty))
    UNION ALL
    SELECT {_OF_ONE}
    FROM slices JOIN metering_usage u ON u.started_at >= slices.starts_at AND u.started_at < slices.ends_at
    WHERE u.org_id = %(org_id)s AND u.started_at >= %(from)s AND u.started_at < %(to)s
)
"""


def report(dimensions: list[str]) -> str:
    """Rows of the dimensions and all FIGURES; without dimensions one row. `dimensions` are SQL, never input."""
    sums = ", ".join(f"coalesce(sum({name}), 0)::bigint" for name in FIGURES)
    if not dimensions:
        return f"{_PARTS} SELECT {sums} FROM parts"
    numbers = ", ".join(map(str, range(1, len(dimensions) + 1)))
    return f"{_PARTS} SELECT {', '.join(dimensions)}, {sums} FROM parts GROUP BY {numbers} ORDER BY {numbers}"
