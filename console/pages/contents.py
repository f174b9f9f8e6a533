"""Prompts and answers that are kept: shown beside their request, exported, purged. Readings are in the audit log."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.roles import Permission
from console.contents import answer_turns, prompt_turns
from console.pages.logs import detail_context
from console.visit import Visit, page, wants_fragment
from metering import contents


@never_cache
@require_POST
@page(Permission.VIEW_CONTENT)
def show(request: HttpRequest, visit: Visit, request_id: str) -> HttpResponse:
    """What one request asked and was answered."""
    kept = contents.read(visit.organization, visit.actor, request_id)
    if kept is None:
        raise Http404
    shown = {"kept": kept, "asked": prompt_turns(kept), "answered": answer_turns(kept)}
    if wants_fragment(request):
        return render(request, "logs/_content.html", shown)
    return render(request, "logs/detail.html", detail_context(visit, request_id) | shown)


@never_cache
@require_GET
@page(Permission.VIEW_CONTENT)
def export(request: HttpRequest, visit: Visit) -> StreamingHttpResponse:
    """All that is kept, as JSON lines; `days` narrows it to the latest."""
    days = request.GET.get("days", "")
    from_ = timezone.now() - timedelta(days=int(days)) if days.isdecimal() and len(days) < 4 else None
    lines = map(contents.as_line, contents.export(visit.organization, visit.actor, from_, None))
    response = StreamingHttpResponse(lines, content_type="application/jsonl; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="prompts-{timezone.now():%Y-%m-%d}.jsonl"'
    return response


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_ORGANIZATION)
def purge(request: HttpRequest, visit: Visit) -> HttpResponse:
    if request.method == "POST":
        n = contents.purge(visit.organization, visit.actor)
        said = ngettext("What %(n)d request said is deleted.", "What %(n)d requests said is deleted.", n)
        messages.success(request, said % {"n": n})
        return redirect("settings")
    return render(request, "settings/purge.html", {"stock": contents.stock_of(visit.organization)})
