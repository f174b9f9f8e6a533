"""The configuration as a file: taken away, looked at before it is put in, and put in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import current
from accounts.errors import InvalidField
from accounts.roles import Permission
from console.api.configuration.exporting import exported
from console.api.configuration.importing import (
    CHANGED,
    CREATED,
    REFUSED,
    SKIPPED,
    UNCHANGED,
    Report,
    put_in,
    read_file,
)
from console.forms.configuration import SECTIONS, ImportForm
from console.visit import Visit, page

_OUTCOMES: dict[str, tuple[Promise, str]] = {
    CREATED: (_("new"), "ok"),
    CHANGED: (_("changes"), "info"),
    UNCHANGED: (_("as it is"), "off"),
    SKIPPED: (_("left out"), "warn"),
    REFUSED: (_("refused"), "bad"),
}
_SCOPES: Mapping[str, Promise] = {
    "organisation": _("organisation"),
    "organization": _("organisation"),
    "member": _("member"),
    "key": _("key"),
    "route": _("route"),
    "model": _("model"),
    "node": _("machine"),
}


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_ORGANIZATION)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    """A file is shown with what it would do first; the second button does it."""
    current.require_recent_authentication(request)
    form = ImportForm(request.POST or None, request.FILES or None)
    context: dict[str, Any] = {"form": form, "organization": visit.organization}
    if request.method == "POST" and form.is_valid():
        try:
            file, dry_run = read_file(form.cleaned_data["file"]), request.POST.get("wish") != "import"
            report = put_in(visit.organization, visit.actor, file, form.cleaned_data["sections"], dry_run=dry_run)
            context |= {"report": report, "rows": _rows(report), "counts": _counts(report), "source": file}
            context["text"] = form.cleaned_data["text"]
        except InvalidField as refusal:
            form.add_error("upload", refusal.message if refusal.param != "format" else form.NO_CONFIGURATION)
    return render(request, "settings/configuration.html", context, status=422 if form.errors else 200)


@never_cache
@require_GET
@page(Permission.MANAGE_ORGANIZATION)
def export(request: HttpRequest, visit: Visit) -> HttpResponse:
    current.require_recent_authentication(request)
    said = exported(visit.organization, visit.actor)
    response = JsonResponse(said, json_dumps_params={"indent": 2, "ensure_ascii": False})
    name = f"shareai-{visit.organization.slug}-{timezone.now():%Y-%m-%d}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _rows(report: Report) -> list[dict[str, Any]]:
    """What needs a person first, what stays as it is last."""
    order = [REFUSED, SKIPPED, CREATED, CHANGED, UNCHANGED]
    lines = sorted(report.lines, key=lambda line: order.index(line.outcome))
    return [
        {
            "section": dict(SECTIONS)[line.section],
            "name": _name(line.section, line.name),
            "outcome": _OUTCOMES[line.outcome][0],
            "tone": _OUTCOMES[line.outcome][1],
            "note": line.note,
        }
        for line in lines
    ]


def _name(section: str, name: str) -> str:
    if section not in ("limits", "cache_policies"):
        return name
    scope, _blank, subject = name.partition(" ")
    return f"{_SCOPES.get(scope, scope)} {subject}".strip()


def _counts(report: Report) -> list[tuple[int, Promise, str]]:
    return [(count, *_OUTCOMES[outcome]) for outcome, count in report.counts.items() if count]
