"""Activity: what was used, by day or hour and by model, target, key or member; as bars, a table and CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.models import ApiKey, Membership
from accounts.roles import Permission
from console.forms.activity import ActivityForm
from console.visit import Visit, page
from metering.queries import Dimension, UsageRow, csv_rows, usage_report

_MOST_SERIES = 6
_FIELDS = {"model": "model", "target": "target", "route": "route", "key": "key_id", "member": "user_id"}
_FIGURES = {"spend": "cost_nanos", "requests": "requests", "tokens": "output_tokens", "errors": "errors"}


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end) in the organisation's zone, cut into days or hours."""

    start: datetime
    end: datetime
    unit: Dimension

    def starts(self) -> list[datetime]:
        """Of each bucket. Days are counted on the calendar, which may make one 23 or 25 hours long."""
        found, at = [], self.start
        while at < self.end:
            found.append(at)
            at += timedelta(days=1) if self.unit == "day" else timedelta(hours=1)
        return found


@require_GET
@page(Permission.VIEW_USAGE)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = ActivityForm(request.GET or None)
    said = form.chosen()
    span = span_of(said["range"], ZoneInfo(visit.organization.time_zone))
    group: Dimension = said["group"]
    table = usage_report(visit.organization, span.start, span.end, [group])
    table.sort(key=lambda row: (row.cost_nanos, row.requests), reverse=True)
    (total,) = usage_report(visit.organization, span.start, span.end)
    names = _names(visit, group)
    context = {
        "form": form,
        "rows": [(_label(row, group, names), row) for row in table],
        "total": total,
        "chart": _chart(visit, span, group, said["figure"], table, names),
        "said": said,
        "group_label": form.choices_of("group")[group],
    }
    return render(request, "activity/index.html", context)


@require_GET
@page(Permission.VIEW_USAGE)
def export(request: HttpRequest, visit: Visit) -> HttpResponse:
    said = ActivityForm(request.GET or None).chosen()
    span = span_of(said["range"], ZoneInfo(visit.organization.time_zone))
    dimensions: Sequence[Dimension] = [said["group"], span.unit]
    rows = usage_report(visit.organization, span.start, span.end, dimensions, visit.organization.time_zone)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="activity-{timezone.now():%Y-%m-%d}.csv"'
    csv.writer(response).writerows(csv_rows(rows, dimensions))
    return response


def span_of(name: str, zone: ZoneInfo) -> Span:
    now = timezone.now().astimezone(zone)
    if name == "24h":
        end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return Span(end - timedelta(hours=24), end, "hour")
    days = {"7d": 7, "30d": 30, "90d": 90}[name]
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Span(midnight - timedelta(days=days - 1), midnight + timedelta(days=1), "day")


def _chart(
    visit: Visit, span: Span, group: Dimension, figure: str, table: Sequence[UsageRow], names: dict[int, str]
) -> dict[str, Any]:
    """What Chart.js draws: the largest groups as series, the others as one."""
    zone = visit.organization.time_zone
    rows = usage_report(visit.organization, span.start, span.end, [group, span.unit], zone)
    field = _FIGURES[figure]
    ranked = sorted(table, key=lambda row: getattr(row, field), reverse=True)
    shown = [getattr(row, _FIELDS[group]) for row in ranked[:_MOST_SERIES]]
    starts = span.starts()
    place = {start: index for index, start in enumerate(starts)}
    series = {value: [0.0] * len(starts) for value in shown}
    others = [0.0] * len(starts)
    for row in rows:
        index = place.get(row.starts_at) if row.starts_at else None
        if index is not None:
            series.get(getattr(row, _FIELDS[group]), others)[index] += _amount(row, field)
    labelled = [{"label": _name(value, group, names), "data": data} for value, data in series.items()]
    if any(others):
        labelled.append({"label": _("others"), "data": others})
    pattern = "H:i" if span.unit == "hour" else "j M"
    return {
        "labels": [date_format(start, pattern) for start in starts],
        "series": labelled,
        "unit": "$" if figure == "spend" else "",
    }


def _amount(row: UsageRow, field: str) -> float:
    value: int = getattr(row, field)
    return value / 1e9 if field == "cost_nanos" else value


def _names(visit: Visit, group: Dimension) -> dict[int, str]:
    if group == "key":
        return dict(ApiKey.objects.of(visit.organization).values_list("pk", "name"))
    if group == "member":
        members = Membership.objects.of(visit.organization).select_related("user")
        return {member.user_id: member.user.get_short_name() for member in members}
    return {}


def _label(row: UsageRow, group: Dimension, names: dict[int, str]) -> str:
    return _name(getattr(row, _FIELDS[group]), group, names)


def _name(value: Any, group: Dimension, names: dict[int, str]) -> str:
    if group in ("key", "member"):
        return names.get(value, _("none") if value is None else _("gone (%(id)s)") % {"id": value})
    return value or (_("none answered") if group == "target" else _("none"))
