"""How available a provider or a machine was, day by day: what share of attempts it answered, how long it was down.

A day's figure is the lower of the two shares, so that neither an outage in a quiet hour nor failures between good
probes are hidden by the other. Days are in UTC, as the sums of usage are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from accounts.models import Organization
from metering.evidence import attempts_by_day
from nodes.models import Node
from providers.models import Connection, HealthChange, ProbeDay, Pulse

DAYS = 90
_DAY = timedelta(days=1)
GOOD, FAIR = 0.995, 0.95


@dataclass(slots=True)
class DayOfConnection:
    """Also of a machine, of which only attempts are known.

    `down_s` are the seconds that it counted as down, `of_s` those of the day so far.
    """

    day: date
    of_s: float = 86_400.0
    attempts: int = 0
    failed: int = 0
    probes: int = 0
    probes_failed: int = 0
    down_s: float = 0.0

    @property
    def share(self) -> float | None:
        """From 0 to 1; None for a day of which nothing is known."""
        if not self.attempts and not self.probes and not self.down_s:
            return None
        answered = (self.attempts - self.failed) / self.attempts if self.attempts else 1.0
        return min(answered, 1 - min(self.down_s / self.of_s, 1.0))

    @property
    def grade(self) -> str:
        """`good`, `fair`, `poor`, or `none`: what the bar looks like, besides its height."""
        share = self.share
        if share is None:
            return "none"
        return "good" if share >= GOOD else "fair" if share >= FAIR else "poor"


@dataclass(slots=True)
class Availability:
    """The last days of one connection or machine, the oldest first."""

    days: list[DayOfConnection] = field(default_factory=list)

    @property
    def known(self) -> list[DayOfConnection]:
        return [day for day in self.days if day.share is not None]

    @property
    def share(self) -> float | None:
        """The mean of the days of which something is known."""
        shares = [day.share for day in self.days if day.share is not None]
        return sum(shares) / len(shares) if shares else None

    @property
    def troubled(self) -> list[DayOfConnection]:
        return [day for day in self.days if day.grade in ("fair", "poor")]


def availability_of(
    organization: Organization, connections: Iterable[Connection], now: datetime | None = None
) -> dict[int, Availability]:
    """By primary key: this organisation's own attempts, and what probes and processes share of the connection."""
    connections, now = list(connections), now or timezone.now()
    days = {each.pk: _days_until(now) for each in connections}
    first = _first_day(now)
    _add_attempts(organization, {f"{each.slug}/": days[each.pk] for each in connections}, first)
    _add_probes(days, first)
    _add_outages(days, first, now)
    return {pk: Availability(list(of_one.values())) for pk, of_one in days.items()}


def availability_of_node(organization: Organization, node: Node, now: datetime | None = None) -> Availability:
    """By this organisation's own attempts: when a machine was connected is not kept, and who sleeps is not asked.

    Of days before it was enrolled nothing is said, for another one may have had its name.
    """
    now = now or timezone.now()
    days = _days_until(now)
    since = max(_first_day(now), node.created_at.astimezone(UTC).date())
    _add_attempts(organization, {f"node/{node.slug}/": days}, since)
    return Availability(list(days.values()))


def _first_day(now: datetime) -> date:
    return now.astimezone(UTC).date() - timedelta(days=DAYS - 1)


def _days_until(now: datetime) -> dict[date, DayOfConnection]:
    first, today = _first_day(now), now.astimezone(UTC).date()
    days = {day: DayOfConnection(day) for day in (first + timedelta(days=n) for n in range(DAYS))}
    days[today].of_s = max((now - _midnight(today)).total_seconds(), 1.0)
    return days


def _add_attempts(organization: Organization, by_stem: dict[str, dict[date, DayOfConnection]], first: date) -> None:
    """Args: by_stem: by what the names of one's targets begin with."""
    for row in attempts_by_day(organization, _midnight(first)):
        day = by_stem.get(_stem(row.target), {}).get(row.day)
        if day is not None:
            day.attempts += row.attempts
            day.failed += row.failed


def _stem(target: str) -> str:
    """`<provider>/` or `node/<machine>/`: the name of a model may have slashes of its own."""
    parts = target.split("/", 2)
    return "/".join(parts[: 2 if parts[0] == "node" else 1]) + "/"


def _add_probes(days: dict[int, dict[date, DayOfConnection]], first: date) -> None:
    for row in ProbeDay.objects.filter(connection__in=days, day__gte=first):
        day = days[row.connection_id].get(row.day)
        if day is not None:
            day.probes, day.probes_failed = row.succeeded + row.failed, row.failed


def _add_outages(days: dict[int, dict[date, DayOfConnection]], first: date, now: datetime) -> None:
    """From every change to `down` until the next change, or until now."""
    went_down: dict[int, datetime] = {}
    changes = HealthChange.objects.filter(
        Q(before=Pulse.DOWN) | Q(after=Pulse.DOWN), target_id=0, connection_id__in=days
    ).order_by("pk")
    for change in changes:
        if change.after == Pulse.DOWN:
            went_down[change.connection_id] = change.at
        elif (began := went_down.pop(change.connection_id, None)) is not None:
            _spread(days[change.connection_id], began, change.at)
    for connection_id, began in went_down.items():
        _spread(days[connection_id], began, now)


def _spread(days: dict[date, DayOfConnection], began: datetime, ended: datetime) -> None:
    while began < ended:
        day = began.astimezone(UTC).date()
        until = min(ended, _midnight(day + _DAY))
        if day in days:
            days[day].down_s += (until - began).total_seconds()
        began = until


def _midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)
