"""Sums of usage for pages, the API and exports.

A report adds up rollups where they are complete and usage rows where they are not, in one statement and so by one
snapshot: its figures equal the usage rows, and what was charged for them, to the last unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.models import Organization
from metering import sums
from metering.spread import Spread

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NEVER = datetime.max.replace(tzinfo=UTC)

Dimension = Literal["model", "route", "target", "node", "key", "member", "day", "hour"]
Group = Literal["model", "route", "target", "node", "key", "member"]
FIELDS = {
    "model": "model",
    "route": "route",
    "target": "target",
    "node": "node",
    "key": "key_id",
    "member": "user_id",
    "day": "starts_at",
    "hour": "starts_at",
}
NODE = "CASE WHEN starts_with(target, 'node/') THEN split_part(target, '/', 2) ELSE '' END"
_SQL = {
    "node": NODE,
    "key": "nullif(key_id, 0)",
    "member": "nullif(user_id, 0)",
    "day": "date_trunc('day', starts_at, %(zone)s)",
    "hour": "date_trunc('hour', starts_at, 'UTC')",
}
_MONEY = {"spend": "charged_nanos + tokens_nanos + own_nanos", "charged": "charged_nanos", "saved": "saved_nanos"}
COURSES = _MONEY | {
    "requests": "requests",
    "errors": "errors",
    "tokens": "input_tokens + output_tokens",
    "input": "input_tokens",
    "output": "output_tokens",
}
"""Figures that add up over time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """What a report is of; None stands for everything. 0 and "" stand for requests without one."""

    model: str | None = None
    route: str | None = None
    target: str | None = None
    node: str | None = None
    key_id: int | None = None
    user_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """Sums of one group. What the report is not grouped by is None; `cached_tokens` are part of `input_tokens`.

    `cost_nanos` is what was asked by the prices when it was served. What it came to is `spend_nanos`: of the wallet
    `charged_nanos`, and of what own machines had earned `tokens_nanos`, both as the ledger holds them, corrections
    included; `own_nanos` is paid to the organisation's own providers, outside of the ledger. `metering.lengths` reads
    `long_prompts`.
    """

    model: str | None = None
    route: str | None = None
    target: str | None = None
    node: str | None = None
    key_id: int | None = None
    user_id: int | None = None
    starts_at: datetime | None = None
    requests: int
    errors: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_nanos: int
    duration_ms_sum: int
    ttft_ms_sum: int
    ttft_count: int
    hits: int
    saved_nanos: int
    charged_nanos: int
    tokens_nanos: int
    own_nanos: int
    duration_spread: int
    ttft_spread: int
    long_prompts: int

    @property
    def spend_nanos(self) -> int:
        return self.charged_nanos + self.tokens_nanos + self.own_nanos

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def ttft_ms(self) -> float | None:
        """The average time to the first token, of the requests that got one."""
        return self.ttft_ms_sum / self.ttft_count if self.ttft_count else None

    @property
    def duration_ms(self) -> float | None:
        return self.duration_ms_sum / self.requests if self.requests else None

    @property
    def duration_p50_ms(self) -> float | None:
        return Spread(self.duration_spread).quantile(0.5)

    @property
    def duration_p99_ms(self) -> float | None:
        return Spread(self.duration_spread).quantile(0.99)

    @property
    def ttft_p50_ms(self) -> float | None:
        return Spread(self.ttft_spread).quantile(0.5)


@dataclass(frozen=True, slots=True)
class Point:
    """Of a course over time; `value` is None for all groups that were not asked for."""

    value: str | int | None
    starts_at: datetime
    amount: int


def total_of(rows: Sequence[UsageRow]) -> UsageRow:
    """The sum of groups that do not overlap."""
    return UsageRow(**{name: sum(getattr(row, name) for row in rows) for name in sums.FIGURES})


def usage_report(
    org: Organization,
    from_: datetime,
    to: datetime,
    group_by: Sequence[Dimension] = (),
    zone: str = "UTC",
    narrowed: Narrowed | None = None,
) -> list[UsageRow]:
    """Sums of [from_, to) by the given dimensions, ordered by them; without any, exactly one row.

    Args:
        group_by: of `day` and `hour` at most one.
        zone: whose days are meant by `day`, an IANA name. In a zone that is not whole hours from UTC the hour in
            which a day ends counts for that day.

    Raises:
        ValueError: for any other dimension.
    """
    unknown = [dimension for dimension in group_by if dimension not in FIELDS]
    if unknown or {"day", "hour"} <= {*group_by}:
        raise ValueError(f"usage cannot be grouped by {', '.join(group_by)}")
    day_zone = "" if "hour" in group_by else zone if "day" in group_by else org.time_zone
    fields = [FIELDS[dimension] for dimension in group_by] + [*sums.FIGURES]
    condition, values = _narrowing(narrowed or Narrowed())
    sql = sums.report([_SQL.get(dimension, FIELDS[dimension]) for dimension in group_by], condition)
    with connection.cursor() as cursor:
        cursor.execute(sql, {**bounds(from_, to, day_zone), **values, "org_id": org.pk, "zone": zone})
        return [_row(fields, row) for row in cursor.fetchall()]


def course(
    org: Organization,
    span: tuple[datetime, datetime],
    group: Group,
    unit: Literal["day", "hour"],
    figure: str,
    shown: Sequence[Any],
    narrowed: Narrowed,
) -> list[Point]:
    """How one of COURSES went by the hour, or by the organisation's days: for the groups shown, and for the others.

    Args:
        shown: values of the group; 0 for requests without a key or member.
    """
    condition, values = _narrowing(narrowed)
    dimension = {"node": NODE, "key": "key_id", "member": "user_id"}.get(group, group)
    sql = sums.course(dimension, _SQL.get(unit, FIELDS[unit]), COURSES[figure], condition)
    day_zone = org.time_zone if unit == "day" else ""
    given = {**bounds(*span, day_zone), **values, "org_id": org.pk, "zone": org.time_zone, "shown": [*shown]}
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return [Point(*row) for row in cursor.fetchall()]


def _narrowing(narrowed: Narrowed) -> tuple[str, dict[str, Any]]:
    columns = {
        "model": "model", "route": "route", "target": "target", "node": NODE, "key_id": "key_id",
        "user_id": "user_id",
    }  # fmt: skip
    asked = {name: value for name in columns if (value := getattr(narrowed, name)) is not None}
    condition = " AND ".join(f"{columns[name]} = %(only_{name})s" for name in asked) or "true"
    return condition, {f"only_{name}": value for name, value in asked.items()}


def _row(fields: list[str], row: tuple[Any, ...]) -> UsageRow:
    """The last three are NUMERIC, whole numbers all the same."""
    cells, packed = row[:-3], map(int, row[-3:])
    return UsageRow(**dict(zip(fields, (*cells, *packed), strict=True)))


def bounds(from_: datetime, to: datetime, day_zone: str) -> dict[str, Any]:
    """Which days and hours lie wholly in the range, and the rest of it, for which only usage rows can tell.

    Args:
        day_zone: whose days can be taken whole; none, when it is "" or its days begin within an hour of UTC.
    """
    first_hour, last_hour = ceiling(from_, HOUR), floor(to, HOUR)
    edges = [(from_, first_hour), (last_hour, to)] if first_hour <= last_hour else [(from_, to)]
    by_days = bool(day_zone) and _has_whole_days(day_zone, from_.year, to.year)
    return {
        "from": from_,
        "to": to,
        "day_zone": day_zone if by_days else "UTC",
        "first_day": _next_midnight(from_, day_zone) if by_days else NEVER,
        "last_day": _midnight(to, day_zone) if by_days else NEVER,
        "first_hour": first_hour,
        "last_hour": last_hour,
        "edge_starts": [start for start, end in edges if start < end],
        "edge_ends": [end for start, end in edges if start < end],
    }


@lru_cache(maxsize=256)
def _has_whole_days(zone: str, first_year: int, last_year: int) -> bool:
    """Whether each day begins at a whole hour of UTC, and only once."""
    place, at = ZoneInfo(zone), datetime(first_year, 1, 1)
    while at.year <= last_year:
        earlier, later = at.replace(tzinfo=place), at.replace(tzinfo=place, fold=1)
        offset = earlier.utcoffset() or timedelta(0)
        if offset % HOUR or (later.utcoffset() or offset) < offset:
            return False
        at += DAY
    return True


def _midnight(moment: datetime, zone: str) -> datetime:
    """At which the moment's day began."""
    local = moment.astimezone(ZoneInfo(zone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def _next_midnight(moment: datetime, zone: str) -> datetime:
    """The first one that is not before the moment."""
    begun = _midnight(moment, zone)
    if begun == moment:
        return begun
    tomorrow = moment.astimezone(ZoneInfo(zone)).date() + DAY
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def floor(moment: datetime, unit: timedelta) -> datetime:
    return moment - (moment - datetime(1970, 1, 1, tzinfo=UTC)) % unit


def ceiling(moment: datetime, unit: timedelta) -> datetime:
    begun = floor(moment, unit)
    return begun if begun == moment else begun + unit


def spend_today(org: Organization, now: datetime) -> int:
    """Nano-USD since midnight in UTC, as budgets count."""
    (row,) = usage_report(org, floor(now, DAY), floor(now, DAY) + DAY)
    return row.spend_nanos
