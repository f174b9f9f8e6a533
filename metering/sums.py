"""The SQL that sums usage: what the rollups store and what reports add up. Made of the names in this file alone.

What a request was charged is a room's above to know: `metering_settled` is a view, empty here, in which that room
shows each request it has settled, what was paid for it, and what of that with own tokens instead of credits. A
request that is not in it cost its organisation what its own provider or machine asks: `own_nanos`. Of a request that
several targets answered each part is settled by itself, as `req_…#2`, or is at the organisation's own cost by itself.
"""
# ruff: noqa: S608

from __future__ import annotations

from metering.lengths import digits_sql
from metering.spread import digit_sql

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
    "hits": "(u.cache = 'HIT')::int",
    "saved_nanos": "u.saved_nanos",
    "charged_nanos": "settled.paid_nanos - settled.tokens_nanos",
    "tokens_nanos": "settled.tokens_nanos",
    "own_nanos": "settled.own_nanos",
    "duration_spread": digit_sql("u.duration_ms"),
    "ttft_spread": digit_sql("u.ttft_ms"),
    "long_prompts": digits_sql("u"),
}
FIGURES = tuple(_FIGURES_OF_ONE)
_SPREADS = {"duration_spread", "ttft_spread", "long_prompts"}
_OWN_PARTS = """
    SELECT coalesce(sum((a.told #>> '{used,cost_nanos}')::bigint), 0)::bigint
    FROM jsonb_array_elements(u.attempts) WITH ORDINALITY a (told, number)
    WHERE (a.told #>> '{used,charged}')::boolean
      AND NOT EXISTS (SELECT FROM metering_settled p WHERE p.request_id = u.request_id || '#' || a.number)
"""
_SETTLED = f"""
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(s.paid_nanos), 0)::bigint AS paid_nanos,
            coalesce(sum(s.tokens_nanos), 0)::bigint AS tokens_nanos,
            CASE WHEN u.attempts @? '$[*].used.charged ? (@ == true)' THEN ({_OWN_PARTS})
                WHEN count(*) = 0 THEN u.cost_nanos ELSE 0 END AS own_nanos
        FROM metering_settled s WHERE s.request_id = u.request_id
    ) settled
"""


def _summed(name: str, expression: str) -> str:
    return f"coalesce(sum({expression}), 0){'' if name in _SPREADS else '::bigint'}"


_HOUR = "date_trunc('hour', u.started_at, 'UTC')"
_BUCKET_OF_ONE = "u.model, u.route, u.target, coalesce(u.key_id, 0), coalesce(u.user_id, 0)"
_COLUMNS = ", ".join(("period", "org_id", "starts_at", *BUCKET, *FIGURES))
_SUMS_OF_USAGE = ", ".join(_summed(name, figure) for name, figure in _FIGURES_OF_ONE.items())
_SUMS = ", ".join(_summed(name, name) for name in FIGURES)


def _by_hour(usage: str) -> str:
    return f"""
        SELECT 'hour', u.org_id, {_HOUR}, {_BUCKET_OF_ONE}, {_SUMS_OF_USAGE}
        FROM {usage} u {_SETTLED} GROUP BY u.org_id, {_HOUR}, {_BUCKET_OF_ONE}
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
RECOMPUTE_DAYS = f"""
    INSERT INTO metering_rollup ({_COLUMNS})
    SELECT 'day', org_id, day, {", ".join(BUCKET)}, {_SUMS}
    FROM unnest(%(days)s::timestamptz[]) AS day
    JOIN metering_rollup ON starts_at >= day
      AND starts_at < (day AT TIME ZONE %(zone)s + interval '1 day') AT TIME ZONE %(zone)s
    WHERE period = 'hour' AND org_id = %(org_id)s
    GROUP BY org_id, day, {", ".join(BUCKET)}
"""
DELETE_DAYS = "DELETE FROM metering_rollup WHERE period = 'day' AND org_id = %(org_id)s"
RECOMPUTE_ALL_DAYS = f"""
    INSERT INTO metering_rollup ({_COLUMNS})
    SELECT 'day', org_id, date_trunc('day', starts_at, %(zone)s), {", ".join(BUCKET)}, {_SUMS}
    FROM metering_rollup WHERE period = 'hour' AND org_id = %(org_id)s
    GROUP BY org_id, date_trunc('day', starts_at, %(zone)s), {", ".join(BUCKET)}
"""
DAYS_OF = "SELECT DISTINCT date_trunc('day', hour, %s) FROM unnest(%s::timestamptz[]) AS hour"
ZONES = """
    SELECT o.time_zone, coalesce(z.zone, 'UTC') FROM accounts_organization o
    LEFT JOIN metering_rollupzone z ON z.org_id = o.id WHERE o.id = %s
"""
KEEP_ZONE = """
    INSERT INTO metering_rollupzone (org_id, zone) VALUES (%(org_id)s, %(zone)s)
    ON CONFLICT (org_id) DO UPDATE SET zone = excluded.zone
"""
WAITING = """
    SELECT DISTINCT org_id FROM metering_dirtybucket
    UNION SELECT z.org_id FROM metering_rollupzone z
    JOIN accounts_organization o ON o.id = z.org_id AND o.time_zone <> z.zone
    ORDER BY 1
"""
ADD_CHARGED = f"""
    WITH changed AS (
        SELECT date_trunc('hour', started_at, 'UTC') AS hour, sum(nanos)::bigint AS nanos
        FROM unnest(%(started_at)s::timestamptz[], %(nanos)s::bigint[]) AS one (started_at, nanos) GROUP BY 1
    ), of_expired AS (
        INSERT INTO metering_rollup ({_COLUMNS})
        SELECT 'hour', %(org_id)s, hour, '', '', '', 0, 0,
            {", ".join("nanos" if name == "charged_nanos" else "0" for name in FIGURES)}
        FROM changed JOIN metering_usageexpiry ON org_id = %(org_id)s AND hour < expired_before
        ON CONFLICT ON CONSTRAINT rollup_bucket_once
        DO UPDATE SET charged_nanos = metering_rollup.charged_nanos + excluded.charged_nanos
    )
    INSERT INTO metering_dirtybucket (org_id, hour) SELECT %(org_id)s, hour FROM changed
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
_OF_ONE = ", ".join(("slices.starts_at", _BUCKET_OF_ONE, *_FIGURES_OF_ONE.values()))
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
), by_days AS MATERIALIZED (
    SELECT zone.usable AND %(first_day)s::timestamptz < %(last_day)s::timestamptz AS usable FROM (
        -- Sums of days are of days in one zone; others are added up from hours.
        SELECT %(day_zone)s = coalesce(
            (SELECT zone FROM metering_rollupzone WHERE org_id = %(org_id)s), 'UTC'
        ) AS usable
    ) zone
), dirty_days AS MATERIALIZED (
    SELECT DISTINCT date_trunc('day', hour, %(day_zone)s) AS day FROM dirty
), hours AS (
    SELECT %(first_hour)s::timestamptz AS starts_at, %(last_hour)s::timestamptz AS ends_at
    FROM by_days WHERE NOT usable
    UNION ALL SELECT %(first_hour)s, %(first_day)s FROM by_days WHERE usable
    UNION ALL SELECT %(last_day)s, %(last_hour)s FROM by_days WHERE usable
    UNION ALL SELECT day, (day AT TIME ZONE %(day_zone)s + interval '1 day') AT TIME ZONE %(day_zone)s
    FROM dirty_days, by_days WHERE usable AND day >= %(first_day)s AND day < %(last_day)s
), parts AS (
    SELECT {_OF_ROLLUP} FROM metering_rollup r
    WHERE r.period = 'day' AND r.org_id = %(org_id)s AND (SELECT usable FROM by_days)
      AND r.starts_at >= %(first_day)s AND r.starts_at < %(last_day)s
      AND r.starts_at NOT IN (SELECT day FROM dirty_days)
    UNION ALL
    -- OFFSET 0 keeps the planner from turning these joins round: it would read all hours, or all usage, of the span.
    SELECT {_OF_ROLLUP} FROM hours CROSS JOIN LATERAL (
        SELECT * FROM metering_rollup
        WHERE period = 'hour' AND org_id = %(org_id)s AND starts_at >= hours.starts_at AND starts_at < hours.ends_at
        OFFSET 0
    ) r, expired
    -- What arrived late for an expired hour comes on top of its sums.
    WHERE r.starts_at < expired.before OR r.starts_at NOT IN (SELECT hour FROM dirty)
    UNION ALL
    SELECT {_OF_ONE} FROM slices CROSS JOIN LATERAL (
        SELECT * FROM metering_usage
        WHERE org_id = %(org_id)s AND started_at >= slices.starts_at AND started_at < slices.ends_at
        OFFSET 0
    ) u {_SETTLED}
)
"""


def report(dimensions: list[str], narrowed: str = "true") -> str:
    """Rows of the dimensions and all FIGURES; without dimensions one row. The arguments are SQL, never input."""
    sums = ", ".join(_summed(name, name) for name in FIGURES)
    if not dimensions:
        return f"{_PARTS} SELECT {sums} FROM parts WHERE {narrowed}"
    numbers = ", ".join(map(str, range(1, len(dimensions) + 1)))
    columns = ", ".join(dimensions)
    return f"{_PARTS} SELECT {columns}, {sums} FROM parts WHERE {narrowed} GROUP BY {numbers} ORDER BY {numbers}"


def course(dimension: str, unit: str, figure: str, narrowed: str) -> str:
    """One figure over time for the values in `shown`, and for all others as one. The arguments are SQL."""
    return f"""
        {_PARTS} SELECT CASE WHEN {dimension} = ANY(%(shown)s) THEN {dimension} END, {unit}, sum({figure})::bigint
        FROM parts WHERE {narrowed} GROUP BY 1, 2
    """
