"""Home: the first steps, then today's figures, live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet
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
from metering.queries import list_requests
from metering.reports import UsageRow, total_of, usage_report
from providers.models import Connection

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
    connections = list(_connections(visit))
    vitals = vitals_of(visit.organization, connections)
    steps = steps_of(visit.organization, connections)
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


def _connections(visit: Visit) -> QuerySet[Connection]:
    found = connections_in_sight(visit.organization).select_related("pulse").prefetch_related("keys")
    return found.order_by("priority", "name")


def today_of(organization: Organization) -> Today:
    """One question for both: midnight is never longer ago than the first of the hours."""
    now = timezone.now()
    midnight = datetime.combine(now.astimezone(UTC).date(), datetime.min.time(), UTC)
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    first = this_hour - timedelta(hours=_HOURS - 1)
    rows = usage_report(organization, first, this_hour + timedelta(hours=1), ["hour"])
    by_hour = {row.starts_at: row for row in rows}
    course = [by_hour.get(first + timedelta(hours=number)) for number in range(_HOURS)]
    return Today(
        total_of([row for row in rows if row.starts_at is not None and row.starts_at >= midnight]),
        [row.spend_nanos if row else 0 for row in course],
        [row.requests if row else 0 for row in course],
        [row.errors if row else 0 for row in course],
    )
