"""Home: the first steps, then today's figures, live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import Organization
from accounts.roles import Permission
from console.health import Health, vitals_of
from console.machines import connected_of
from console.offers import connections_in_sight
from console.pages.logs import named_keys
from console.steps import steps_of
from console.visit import Visit, page, wants_fragment
from metering.queries import UsageRow, list_requests, usage_report

_HOURS = 24
_NEWEST = 6


@dataclass(frozen=True, slots=True)
class Today:
    """Sums since midnight in UTC, as budgets count, and the course of the last 24 hours."""

    total: UsageRow
    spend: list[int]
    requests: list[int]
    errors: list[int]


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    connections = list(connections_in_sight(visit.organization).prefetch_related("keys").order_by("priority", "name"))
    vitals = vitals_of(visit.organization, connections)
    steps = steps_of(visit.organization)
    newest = list_requests(visit.organization, limit=_NEWEST).requests
    enabled = [each for each in vitals.values() if each.state is not Health.DISABLED]
    context = {
        "steps": [(step, visit.allows(step.permission)) for step in steps] if not all(s.done for s in steps) else [],
        "done": sum(step.done for step in steps),
        "today": today_of(visit.organization),
        "providers": [(each, vitals[each.pk]) for each in connections],
        "healthy": sum(not each.is_trouble for each in enabled),
        "enabled": len(enabled),
        "machines": connected_of(visit.organization),
        "requests": named_keys(visit, newest),
    }
    return render(request, "home/_all_live.html" if wants_fragment(request) else "home/index.html", context)


def today_of(organization: Organization) -> Today:
    now = timezone.now()
    midnight = datetime.combine(now.astimezone(UTC).date(), datetime.min.time(), UTC)
    (total,) = usage_report(organization, midnight, midnight + timedelta(days=1))
    by_hour = _by_hour(organization, now)
    return Today(
        total,
        [row.spend_nanos if row else 0 for row in by_hour],
        [row.requests if row else 0 for row in by_hour],
        [row.errors if row else 0 for row in by_hour],
    )


def _by_hour(organization: Organization, now: datetime) -> list[UsageRow | None]:
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    first = this_hour - timedelta(hours=_HOURS - 1)
    rows = {row.starts_at: row for row in usage_report(organization, first, this_hour + timedelta(hours=1), ["hour"])}
    return [rows.get(first + timedelta(hours=number)) for number in range(_HOURS)]
