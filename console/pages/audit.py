"""The audit log: who did what to which object, before and after; filters, export, and the proof of its chain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts import audit
from accounts.models import Noted, Organization
from accounts.roles import Permission
from console.trail_files import CSV, JSON_LINES, trail_file
from console.visit import Visit, page, wants_fragment

_PAGE = 50
_LONGEST_SEQUENCE = 18


@dataclass(frozen=True, slots=True)
class Trail:
    """An organisation's, or the operator's; `zone` is whose days are meant, `place` the name of its page."""

    of: Organization | None
    zone: str
    place: str

    @property
    def events(self) -> QuerySet[Any]:
        return audit.events_of(self.of)


@require_GET
@page(Permission.VIEW_AUDIT)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    return shown(request, _trail(visit))


@require_GET
@page(Permission.VIEW_AUDIT)
def verify(request: HttpRequest, visit: Visit) -> HttpResponse:
    return verified(request, _trail(visit))


@require_GET
@page(Permission.VIEW_AUDIT)
def export(request: HttpRequest, visit: Visit) -> StreamingHttpResponse:
    return exported(request, _trail(visit))


def _trail(visit: Visit) -> Trail:
    return Trail(visit.organization, visit.organization.time_zone, "audit")


def shown(request: HttpRequest, trail: Trail, **more: Any) -> HttpResponse:
    asked, before = _asked(request), request.GET.get("before", "").strip()[:_LONGEST_SEQUENCE]
    found = _matching(trail, asked)
    if before.isdecimal():
        found = found.filter(sequence__lt=int(before))
    events = list(found[: _PAGE + 1])
    older = request.GET.copy()
    older["before"] = str(events[_PAGE - 1].sequence) if len(events) > _PAGE else ""
    context = {
        "events": [(event, changes_of(event)) for event in events[:_PAGE]],
        "trail": trail,
        "asked": asked,
        "query": urlencode(asked._asdict()),
        "kinds": list(trail.events.order_by("object_type").values_list("object_type", flat=True).distinct()),
        "older": f"?{older.urlencode()}" if older["before"] else "",
        "is_first_page": not before,
        "is_filtered": any(asked),
        **more,
    }
    return render(request, "audit/index.html" if trail.of else "staff/audit.html", context)


def verified(request: HttpRequest, trail: Trail) -> HttpResponse:
    """The proof of the chain, asked for by the page once it is there: it reads every event."""
    template = "audit/_verified.html" if wants_fragment(request) else "audit/verified.html"
    return render(request, template, {"verified": audit.verify(trail.of), "trail": trail})


def exported(request: HttpRequest, trail: Trail) -> StreamingHttpResponse:
    kind = JSON_LINES if request.GET.get("format") == JSON_LINES else CSV
    return trail_file(_matching(trail, _asked(request)), kind, trail.place)


class Asked(NamedTuple):
    """As it stands in the address. `since` and `until` are days, both included, or what somebody typed."""

    q: str
    kind: str
    since: str
    until: str


def _asked(request: HttpRequest) -> Asked:
    return Asked(*(request.GET.get(name, "").strip()[:200] for name in Asked._fields))


def _matching(trail: Trail, asked: Asked) -> QuerySet[Any]:
    zone, first, last = ZoneInfo(trail.zone), _day(asked.since), _day(asked.until)
    return audit.matching(
        trail.of,
        words=asked.q,
        object_type=asked.kind,
        since=None if first is None else datetime.combine(first, time.min, zone),
        before=None if last is None else datetime.combine(last + timedelta(days=1), time.min, zone),
    )


def _day(text: str) -> date | None:
    """None for what is no day, which then narrows nothing."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if date.min < day < date.max - timedelta(days=1) else None


def changes_of(event: Noted) -> list[tuple[str, Any, Any]]:
    """(field, before, after) of what differs."""
    before, after = event.before or {}, event.after or {}
    names = dict.fromkeys([*before, *after])
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]
