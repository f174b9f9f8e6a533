"""Insight: prompts that matter with what a cache would save, targets compared, and one click to act on either."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import InvalidField
from accounts.roles import Permission
from console import insight
from console.forms.insight import InsightForm
from console.visit import Visit, page, wants_fragment


@require_GET
@page(Permission.VIEW_USAGE)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = InsightForm(request.GET or None)
    said, now = form.chosen(), timezone.now()
    seen = insight.look(visit.organization, now, said["window"])
    rows = insight.prompt_rows(visit.organization, seen.findings, said["by"])
    may_read = visit.organization.log_content and visit.allows(Permission.VIEW_CONTENT)
    reads = may_read and request.GET.get("texts") == "on"
    context = {
        "form": form,
        "said": said,
        "prompts": rows,
        "may_read": may_read,
        "texts": insight.texts_of(visit.organization, visit.actor, rows) if reads else {},
        "reads": reads,
        "models": insight.model_rows(visit.organization, seen.findings),
        "seen": seen,
        "is_awaited": seen.is_under_way or seen.is_due,
        "enough": insight.ENOUGH_ATTEMPTS,
        "may_manage": visit.allows(Permission.MANAGE_ROUTES),
    }
    return render(request, "activity/_insight.html" if wants_fragment(request) else "activity/insight.html", context)


@require_POST
@page(Permission.MANAGE_ROUTES)
def cache(request: HttpRequest, visit: Visit) -> HttpResponse:
    scope, subject = request.POST.get("scope", ""), request.POST.get("subject", "")
    ttl_s = request.POST.get("ttl_s", "")
    try:
        seconds = int(ttl_s) if ttl_s.isdecimal() and len(ttl_s) < 10 else -1
        insight.apply_cache(visit.organization, visit.actor, scope, subject, seconds)
    except InvalidField as refusal:
        messages.error(request, refusal.message)
        return _back(request)
    said = _("Answers of “%(name)s” are kept from now on. Here you change that, or take it back.")
    messages.success(request, said % {"name": subject})
    return redirect("cache")


@require_POST
@page(Permission.MANAGE_ROUTES)
def draft(request: HttpRequest, visit: Visit) -> HttpResponse:
    said, model = InsightForm(request.POST).chosen(), request.POST.get("model", "")
    try:
        made = insight.draft_order(visit.organization, visit.actor, model, timezone.now(), said["window"])
    except InvalidField as refusal:
        messages.error(request, refusal.message)
        return _back(request)
    if made is None:
        messages.error(request, _("Nothing is suggested for this model any more."))
        return _back(request)
    messages.success(request, _("Drafted. Test it and publish it when it is right."))
    return redirect("routes-show", made.name)


def _back(request: HttpRequest) -> HttpResponse:
    return redirect(f"{reverse('activity-insight')}?{urlencode(InsightForm(request.POST).chosen())}")
