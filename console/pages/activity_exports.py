"""Exports of single requests: asked for, followed while they are written, downloaded, deleted."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.errors import InvalidField
from accounts.roles import Permission
from console.export_files import file_answer
from console.forms.activity import ActivityForm, ExportForm
from console.pages.activity import chips_of, view_of
from console.visit import Visit, page, wants_fragment
from metering import exports
from metering.models import UsageExport
from metering.reports import usage_report
from metering.tasks import hand_over_export


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.VIEW_USAGE)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    """The time and the filters stand in the address, as on Activity."""
    if wants_fragment(request):
        return render(request, "activity/_exports.html", _listed(visit))
    asked = ActivityForm(request.GET or None)
    view = view_of(visit, asked)
    form = ExportForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            begun = exports.begin(
                visit.organization, visit.actor, *view.span.moments, form.cleaned_data["format"], view.narrowed
            )
            if begun.is_open:
                hand_over_export(begun.pk)
            return redirect("activity-exports")
        except InvalidField as refusal:
            form.absorb(refusal)
    (row,) = usage_report(visit.organization, *view.span.moments, narrowed=view.narrowed)
    context = {
        "asked": asked, "said": asked.chosen(), "span": view.span, "form": form, "requests": row.requests,
        "chips": chips_of(request, view, asked, {}), **_listed(visit),
    }  # fmt: skip
    return render(request, "activity/exports.html", context, status=422 if form.errors else 200)


@never_cache
@require_GET
@page(Permission.VIEW_USAGE)
def download(request: HttpRequest, visit: Visit, public_id: str) -> StreamingHttpResponse:
    done = UsageExport.objects.of(visit.organization).filter(state=UsageExport.DONE)
    return file_answer(get_object_or_404(done, public_id=public_id))


@require_POST
@page(Permission.VIEW_USAGE)
def delete(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    exports.discard(get_object_or_404(UsageExport.objects.of(visit.organization), public_id=public_id), visit.actor)
    return redirect("activity-exports")


@require_POST
@page(Permission.VIEW_USAGE)
def retry(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    """Goes on with one that has failed."""
    export = get_object_or_404(UsageExport.objects.of(visit.organization), public_id=public_id)
    try:
        if exports.retry(export, visit.actor):
            hand_over_export(export.pk)
    except InvalidField as refusal:
        messages.error(request, " ".join(text for texts in refusal.fields.values() for text in texts))
    return redirect("activity-exports")


def _listed(visit: Visit) -> dict[str, Any]:
    rows = [*UsageExport.objects.of(visit.organization).order_by("-created_at", "-pk")]
    return {"exports": rows, "is_any_open": any(row.is_open for row in rows)}
