"""Logs: every request with its attempts, newest first; filters and place in the URL."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import ApiKey
from accounts.roles import Permission
from common.errors import InvalidRequest
from console.activity import name_of, names_of
from console.bill import bills_of, corrected_nanos
from console.chips import Chip
from console.downloads import csv_download
from console.forms.logs import LogFilterForm
from console.offers import model_names
from console.visit import Visit, page, wants_fragment
from metering.contents import is_kept
from metering.models import Usage
from metering.queries import RequestFilters, get_request, list_requests, request_csv_rows
from providers.endpoints import made_up

_PAGE = 50
_EXPORTED = 500
_LOOKED_AT = 50_000
"""Requests that a page passes on its way to rare ones: a tenth of a second. Then people say whether to go on."""
_LOOKED_AT_BY_FILES = 10 * _LOOKED_AT
"""A file cannot be gone on with; its name says how far back it looked."""


@dataclass(frozen=True, slots=True)
class Line:
    """A request with the name of its key."""

    usage: Usage
    key: ApiKey | None


@require_GET
@page(Permission.VIEW_USAGE)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = LogFilterForm(request.GET or None, keys=_keys(visit), models=model_names(visit))
    filters = form.filters() if form.is_valid() else RequestFilters()
    older, newer = request.GET.get("after"), request.GET.get("before")
    try:
        found = list_requests(
            visit.organization, filters, newer or older or None, _PAGE, newer=bool(newer), most_looked_at=_LOOKED_AT
        )
    except InvalidRequest as error:
        raise Http404 from error
    is_first_page = found.newer_cursor is None and not (older and found.looked_back_to)
    context = {
        "form": form,
        "lines": named_keys(visit, found.requests),
        "pager": {
            "newer": _page_at(request, "before", found.newer_cursor),
            "older": _page_at(request, "after", found.next_cursor),
        },
        "looked_back_to": found.looked_back_to,
        "looked_ahead_to": found.looked_ahead_to,
        "newest": _page_at(request, "", ""),
        "exported": _EXPORTED,
        "is_first_page": is_first_page,
        "is_filtered": form.is_narrowed(),
        "chips": _chips(request, visit, form, filters),
        "keeps": visit.organization.log_content,
        "live": request.GET.get("live", "on") == "on" and not (older or newer),
    }
    return render(request, "logs/_table.html" if wants_fragment(request) else "logs/index.html", context)


@require_GET
@page(Permission.VIEW_USAGE)
def export(request: HttpRequest, visit: Visit) -> HttpResponse:
    """The newest that the filters leave, as CSV."""
    form = LogFilterForm(request.GET or None, keys=_keys(visit), models=model_names(visit))
    filters = form.filters() if form.is_valid() else RequestFilters()
    found = list_requests(visit.organization, filters, limit=_EXPORTED, most_looked_at=_LOOKED_AT_BY_FILES)
    looked = f"-back-to-{found.looked_back_to.astimezone(UTC):%Y-%m-%dT%H%MZ}" if found.looked_back_to else ""
    return csv_download(f"requests-{timezone.now():%Y-%m-%d}{looked}.csv", request_csv_rows(found.requests))


@require_GET
@page(Permission.VIEW_USAGE)
def detail(request: HttpRequest, visit: Visit, request_id: str) -> HttpResponse:
    context = detail_context(visit, request_id)
    return render(request, "logs/_sheet.html" if wants_fragment(request) else "logs/detail.html", context)


def detail_context(visit: Visit, request_id: str) -> dict[str, Any]:
    usage = _get(visit, request_id)
    (line,) = named_keys(visit, [usage])
    return {
        "line": line,
        "usage": usage,
        "attempts": _timeline(usage),
        "curl": _curl(usage),
        "may_play": visit.allows(Permission.USE_PLAYGROUND),
        "bills": bills_of([usage])[usage.request_id],
        "corrected_nanos": corrected_nanos(usage),
        "input_uncached": usage.input_tokens - usage.cached_tokens,
        "is_kept": is_kept(visit.organization, request_id),
        "may_read": visit.allows(Permission.VIEW_CONTENT),
        "keeps": visit.organization.log_content,
    }


def _page_at(request: HttpRequest, direction: str, cursor: str | None) -> str:
    """The same filters at another place; "" where there is none."""
    if cursor is None:
        return ""
    query = request.GET.copy()
    for name in ("after", "before"):
        query.pop(name, None)
    if direction:
        query[direction] = cursor
    return f"?{query.urlencode()}"


def named_keys(visit: Visit, requests: Iterable[Usage]) -> list[Line]:
    requests = list(requests)
    wanted = {usage.key_id for usage in requests if usage.key_id}
    keys = {key.pk: key for key in ApiKey.objects.of(visit.organization).filter(pk__in=wanted)}
    return [Line(usage, keys.get(usage.key_id or 0)) for usage in requests]


def _chips(request: HttpRequest, visit: Visit, form: LogFilterForm, filters: RequestFilters) -> list[Chip]:
    """Of what no field of the page shows."""
    chips = []
    for field in form.hidden_fields():
        given = request.GET.get(field.name, "")
        if given and form.is_valid():
            said = form.cleaned_data[field.name]
            value = _member_name(visit, filters.user_id) if field.name == "member" else given
            at = said if isinstance(said, datetime) else None
            chips.append(Chip(field.name, field.label, value, given, _without(request, field.name), at))
    return chips


def _without(request: HttpRequest, name: str) -> str:
    query = request.GET.copy()
    for gone in (name, "after", "before"):
        query.pop(gone, None)
    return f"?{query.urlencode()}"


def _member_name(visit: Visit, user_id: int | None) -> str:
    if user_id is None:
        return ""
    return name_of("member", user_id, names_of(visit.organization, "member", [user_id]))


def _keys(visit: Visit) -> list[tuple[int, str]]:
    keys = ApiKey.objects.of(visit.organization).filter(is_ephemeral=False).order_by("name")
    return [(key.pk, key.name) for key in keys]


def _get(visit: Visit, request_id: str) -> Usage:
    try:
        return get_request(visit.organization, request_id)
    except Usage.DoesNotExist as error:
        raise Http404 from error


def _timeline(usage: Usage) -> list[dict[str, Any]]:
    """The attempts with their place on a scale of 100, for the bars of the timeline."""
    whole = max(usage.duration_ms, 1)
    return [attempt | _bar(attempt, whole) for attempt in usage.attempts]


def _bar(attempt: dict[str, Any], whole: int) -> dict[str, float]:
    start = min(100 * attempt["started_ms"] / whole, 99)
    width = max(100 * attempt["duration_ms"] / whole, 1)
    return {"bar_start": round(start, 2), "bar_width": round(min(width, 100 - start), 2)}


def _curl(usage: Usage) -> str:
    """The same call again. Prompts are not kept, so a placeholder stands in its place."""
    body: dict[str, Any] = {"model": usage.model}
    body |= made_up(usage.endpoint)
    if usage.stream:
        body["stream"] = True
    shown = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return (
        f"curl {settings.PUBLIC_URL}/v1/{usage.endpoint} \\\n"
        f'  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f"  -d '{shown}'"
    )
