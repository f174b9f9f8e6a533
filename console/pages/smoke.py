"""The smoke test: five checks as buttons, a report that grows while one looks, and reports of before."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts.roles import Permission
from common.errors import CodedError
from console.forms.smoke import SmokeForm
from console.models import SmokeRun
from console.smoke import runs
from console.smoke.report import SKIPPED, reports_of
from console.smoke.shown import shown_run
from console.smoke.subjects import subjects_of
from console.smoke.words import DESCRIBED, TONES, VERDICTS, markdown, say, title_of
from console.visit import Visit, page, wants_fragment

_SHOWN = 10


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.VIEW_USAGE)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    names = [subject.name for subject in subjects_of(visit.organization)]
    form = SmokeForm(request.POST or None, names=names)
    if request.method == "POST":
        visit.require(Permission.MANAGE_ROUTES)
        visit.require(Permission.MANAGE_LIMITS)
        if form.is_valid():
            try:
                run = runs.begin(visit.organization, visit.actor, **form.cleaned_data)
                runs.carry_out_soon(run, visit.actor)
                return redirect("smoke-run", run.public_id)
            except CodedError as refusal:
                form.absorb(refusal)
    latest = list(SmokeRun.objects.of(visit.organization).order_by("-created_at")[:_SHOWN])
    context = {
        "form": form,
        "checks": [(each, _latest_verdict(latest, each.name)) for each in DESCRIBED],
        "runs": [(run, VERDICTS[run.verdict], TONES[run.verdict], _titles(run)) for run in latest],
        "running": next((run for run in latest if not run.is_over), None),
        "names": names,
        "may_run": visit.allows(Permission.MANAGE_ROUTES) and visit.allows(Permission.MANAGE_LIMITS),
    }
    return render(request, "smoke/index.html", context, status=422 if form.errors else 200)


@never_cache
@require_GET
@page(Permission.VIEW_USAGE)
def detail(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    run = _get(visit, public_id)
    known = {each.check: each for each in reports_of(run.report)}
    checks = [
        (each, known.get(each.name), [(step, say(step)) for step in known[each.name].steps])
        if each.name in known
        else (each, None, [])
        for each in DESCRIBED
        if each.name in run.checks
    ]
    context = {
        "run": run,
        "checks": checks,
        "verdict": VERDICTS[run.verdict],
        "tone": TONES[run.verdict],
        "verdicts": VERDICTS,
        "tones": TONES,
        "may_run": visit.allows(Permission.MANAGE_ROUTES) and visit.allows(Permission.MANAGE_LIMITS),
    }
    return render(request, "smoke/_report.html" if wants_fragment(request) else "smoke/run.html", context)


@never_cache
@require_GET
@page(Permission.VIEW_USAGE)
def download(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    """`?format=md` for people, JSON as the management API gives it otherwise."""
    run = _get(visit, public_id)
    if request.GET.get("format") == "md":
        response = HttpResponse("\n".join(markdown(run)) + "\n", content_type="text/markdown; charset=utf-8")
        name = f"{run.public_id}.md"
    else:
        text = json.dumps(shown_run(run), ensure_ascii=False, indent=2)
        response = HttpResponse(text + "\n", content_type="application/json; charset=utf-8")
        name = f"{run.public_id}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _get(visit: Visit, public_id: str) -> SmokeRun:
    return get_object_or_404(SmokeRun.objects.of(visit.organization).select_related("org"), public_id=public_id)


def _latest_verdict(latest: list[SmokeRun], check: str) -> tuple[object, str, SmokeRun] | None:
    for run in latest:
        for each in reports_of(run.report):
            if each.check == check and run.is_over:
                return VERDICTS[each.verdict], TONES[each.verdict], run
    return None


def _titles(run: SmokeRun) -> str:
    titles = _("all five") if len(run.checks) == len(DESCRIBED) else ", ".join(title_of(name) for name in run.checks)
    skipped = sum(report.verdict == SKIPPED for report in reports_of(run.report))
    if not run.is_over or not skipped:
        return titles
    said = ngettext("%(n)d had nothing to check", "%(n)d had nothing to check", skipped) % {"n": skipped}
    return f"{titles} · {said}"
