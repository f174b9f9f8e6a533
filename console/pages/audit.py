"""The audit log: who did what to which object, before and after; filters, export, and the proof of its chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from asgiref.sync import sync_to_async
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts import audit, audit_export
from accounts.models import Noted, Organization
from accounts.roles import Permission
from common.cells import csv_line
from console.visit import Visit, page, wants_fragment

_PAGE = 50
_LONGEST_SEQUENCE = 18
_AT_ONCE = 500
"""Events of an export are read so many at a time."""


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
    found = _matching(trail, _asked(request))
    as_json = request.GET.get("format") == "jsonl"
    kind_of_text, ending = ("application/jsonl", "jsonl") if as_json else ("text/csv", "csv")
    response = StreamingHttpResponse(_pieces(found, as_json), content_type=f"{kind_of_text}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{trail.place}-{timezone.now():%Y-%m-%d}.{ending}"'
    return response


async def _pieces(found: QuerySet[Any], as_json: bool) -> AsyncIterator[str]:
    """Read piece by piece as the client takes them: no process holds a whole trail, and none waits for a slow reader.

    What is written meanwhile is newer than where it begins, and is left out.
    """
    read = sync_to_async(_piece)
    if not as_json:
        yield csv_line(audit_export.COLUMNS)
    before: int | None = None
    while piece := await read(found, as_json, before):
        text, before = piece
        yield text


def _piece(found: QuerySet[Any], as_json: bool, before: int | None) -> tuple[str, int] | None:
    """The next lines and where they end; None after the last."""
    events = list((found if before is None else found.filter(sequence__lt=before))[:_AT_ONCE])
    if not events:
        return None
    lines = audit_export.export_json_lines(events) if as_json else audit_export.csv_lines(events)
    return "".join(lines), events[-1].sequence


class Asked(NamedTuple):
    """As it stands in the address. `since` and `until` are days, both included, or what somebody typed."""

    q: str
    kind: str
    since: str
    until: str


def _asked(request: HttpRequest) -> Asked:
    return Asked(*(request.GET.get(name, "").strip()[:200] for name in Asked._fields))


def _matching(trail: Trail, asked: Asked) -> QuerySet[Any]:
    found = trail.events.order_by("-sequence")
    if asked.kind:
        found = found.filter(object_type=asked.kind)
    if words := asked.q:
        found = found.filter(
            Q(actor_label__icontains=words) | Q(object_label__icontains=words) | Q(action__icontains=words)
        )
    zone = ZoneInfo(trail.zone)
    if (first := _day(asked.since)) is not None:
        found = found.filter(at__gte=datetime.combine(first, time.min, zone))
    if (last := _day(asked.until)) is not None:
        found = found.filter(at__lt=datetime.combine(last + timedelta(days=1), time.min, zone))
    return found


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
