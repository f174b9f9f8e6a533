"""Activity: what was used and what it came to, by model, route, target, machine, key or member; bars and a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.roles import Permission
from console.activity import (
    NEXT_GROUP,
    PAGE,
    SORTED_BY,
    Line,
    View,
    chart_of,
    name_of,
    names_of,
    ordered,
    sheet_of,
)
from console.chips import Chip
from console.forms.activity import FILTERS, ActivityForm
from console.same_traffic import same_traffic
from console.spans import span_of
from console.usage_shape import FIGURES, csv_answer, json_answer, said
from console.visit import Visit, page, wants_fragment
from metering.reports import FIELDS, Dimension, usage_report

_OFFERS_AT_FIRST = 10


@dataclass(frozen=True, slots=True)
class Shown:
    """A line, and the address at which its group is opened."""

    line: Line
    inside: str


@require_GET
@page(Permission.VIEW_USAGE)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = ActivityForm(request.GET or None)
    chosen = form.chosen()
    view = view_of(visit, form)
    sheet = sheet_of(view)
    sort = _sort(request, chosen["figure"])
    context = {
        "form": form,
        "said": chosen,
        "span": view.span,
        "total": sheet.total,
        "before": sheet.before,
        "chart": chart_of(view, sheet, chosen["figure"]),
        "group_label": form.choices_of("group")[chosen["group"]],
        "chips": chips_of(request, view, form, sheet.names),
        "sort": sort,
        "sorting": {name: _at(request, sort=_turned(name, sort), page=None) for name in ("name", *SORTED_BY)},
        "query": _at(request, page=None, sort=None),
        "query_of_json": _at(request, page=None, sort=None, format="json"),
        **_paged(request, ordered(sheet.lines, sort), view.group),
    }
    return render(request, "activity/index.html", context)


@require_GET
@page(Permission.VIEW_USAGE)
def same(request: HttpRequest, visit: Visit) -> HttpResponse:
    """What the page's requests would have cost elsewhere: fetched by it, or a page of its own."""
    form = ActivityForm(request.GET or None)
    view = view_of(visit, form)
    rows = usage_report(view.organization, *view.span.moments, ["target"], narrowed=view.narrowed)
    context = {
        "same": same_traffic(view.organization, rows),
        "offers_shown": None if "all" in request.GET else _OFFERS_AT_FIRST,
        "all_offers": _at(request, all="1"),
        "back": _at(request, all=None),
    }
    name = "activity/_same.html" if wants_fragment(request) else "activity/same.html"
    return render(request, name, context)


@require_GET
@page(Permission.VIEW_USAGE)
def export(request: HttpRequest, visit: Visit) -> StreamingHttpResponse:
    """What the page groups by, over time, as a file."""
    view = view_of(visit, ActivityForm(request.GET or None))
    groups: list[Dimension] = [view.group, view.span.unit]
    zone = visit.organization.time_zone
    rows = usage_report(view.organization, *view.span.moments, groups, zone, view.narrowed)
    lines = said(view.organization, rows, groups, zone)
    name = f"activity-{view.span.start:%Y-%m-%d}-{view.span.last_day:%Y-%m-%d}"
    if request.GET.get("format") == "json":
        return json_answer(lines, f"{name}.json")
    return csv_answer([*groups, *FIGURES], lines, f"{name}.csv")


def view_of(visit: Visit, form: ActivityForm) -> View:
    chosen = form.chosen()
    zone = ZoneInfo(visit.organization.time_zone)
    span = span_of(chosen["range"], zone, timezone.now(), chosen["start"], chosen["end"])
    return View(visit.organization, span, chosen["group"], form.narrowed())


def _paged(request: HttpRequest, lines: Sequence[Line], group: str) -> dict[str, Any]:
    asked = request.GET.get("page", "1")
    last = max(1, -(-len(lines) // PAGE))
    number = min(last, max(1, int(asked))) if asked.isascii() and asked.isdecimal() and len(asked) < 9 else 1
    shown = lines[(number - 1) * PAGE : number * PAGE]
    return {
        "rows": [
            Shown(line, _at(request, page=None, group=NEXT_GROUP[group], **{group: line.value})) for line in shown
        ],
        "groups": len(lines),
        "pager": {
            "number": number,
            "last": last,
            "previous": _at(request, page=str(number - 1)) if number > 1 else "",
            "next": _at(request, page=str(number + 1)) if number < last else "",
        },
    }


def chips_of(request: HttpRequest, view: View, form: ActivityForm, known: dict[Any, str]) -> list[Chip]:
    chips = []
    labels = form.choices_of("group")
    for name in FILTERS:
        value = getattr(view.narrowed, FIELDS[name])
        if value is not None:
            names = known if name == view.group else names_of(view.organization, name, [value])
            text = name_of(name, value, names)
            without = _at(request, page=None, **{name: None})
            chips.append(Chip(name, labels[name], text, str(value), without))
    return chips


def _sort(request: HttpRequest, figure: str) -> str:
    asked = request.GET.get("sort", "")
    return asked if asked.removeprefix("-") in {"name", *SORTED_BY} else f"-{figure}"


def _turned(name: str, sort: str) -> str:
    """Figures are ordered from the largest at first, names from A; a second time the other way round."""
    first = name if name == "name" else f"-{name}"
    second = f"-{name}" if name == "name" else name
    return second if sort == first else first


def _at(request: HttpRequest, **changes: str | None) -> str:
    """This page with other parameters; None takes one away."""
    query: QueryDict = request.GET.copy()
    for name, value in changes.items():
        if value is None:
            query.pop(name, None)
        else:
            query[name] = value
    return f"?{query.urlencode()}"
