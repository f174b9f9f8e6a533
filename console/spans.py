"""Times that Activity tells of, in the organisation's zone, each with the time before that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAYS = {"7d": 7, "30d": 30, "90d": 90}
MOST_DAYS = 366
_BY_HOUR_UP_TO_DAYS = 2

Moments = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end) cut into days or hours.

    `before` is as much of the time before as has passed of this one: comparing a month that has just begun with a
    whole one would say nothing.
    """

    start: datetime
    end: datetime
    unit: Literal["day", "hour"]
    before: Moments

    @property
    def moments(self) -> Moments:
        return self.start.astimezone(UTC), self.end.astimezone(UTC)

    @property
    def first_day(self) -> date:
        return self.start.date()

    @property
    def last_day(self) -> date:
        return (self.end - timedelta(microseconds=1)).date()

    def starts(self) -> list[datetime]:
        """Of each bucket. Days are counted on the calendar, which may make one 23 or 25 hours long."""
        if self.unit == "day":
            return [self.start + number * DAY for number in range((self.end.date() - self.start.date()).days)]
        start, end = self.moments
        hours = [start + number * HOUR for number in range(int((end - start) / HOUR))]
        return [hour.astimezone(self.start.tzinfo) for hour in hours]

    def place_of(self, moment: datetime) -> date | datetime:
        """What tells its bucket from the others."""
        local = moment.astimezone(self.start.tzinfo)
        return local.date() if self.unit == "day" else moment.astimezone(UTC)


def span_of(name: str, zone: ZoneInfo, now: datetime, first: date | None = None, last: date | None = None) -> Span:
    """
    Args:
        name: "24h", a key of DAYS, "month", or "custom", which is from `first` up to and with `last`.
    """
    local = now.astimezone(zone)
    this_hour = local.replace(minute=0, second=0, microsecond=0)
    if name == "24h":
        end = (this_hour.astimezone(UTC) + HOUR).astimezone(zone)
        start = (end.astimezone(UTC) - DAY).astimezone(zone)
        return Span(start, end, "hour", (start.astimezone(UTC) - DAY, start.astimezone(UTC)))
    if name == "month":
        start = _midnight(local.date().replace(day=1), zone)
        last_month = _midnight((start - DAY).date().replace(day=1), zone)
        return _by_days(start, _midnight((start + 32 * DAY).date().replace(day=1), zone), last_month, this_hour)
    if name == "custom" and first and last:
        start, end = _midnight(first, zone), _midnight(last + DAY, zone)
    else:
        end = _midnight(local.date() + DAY, zone)
        start = end - DAYS[name] * DAY
    return _by_days(start, end, start - (end - start), this_hour)


def _by_days(start: datetime, end: datetime, start_before: datetime, this_hour: datetime) -> Span:
    passed = max(start, min(end, this_hour + HOUR)) - start
    before = start_before.astimezone(UTC), min(start, start_before + passed).astimezone(UTC)
    return Span(start, end, "hour" if (end - start).days <= _BY_HOUR_UP_TO_DAYS else "day", before)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)
