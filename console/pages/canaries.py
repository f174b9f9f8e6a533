"""The canary of a route: begun, given another share, promoted, rolled back."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.errors import InvalidField
from accounts.roles import Permission
from console.visit import Visit, page
from routing import canaries
from routing.models import Canary, RouteDraft


@require_POST
@page(Permission.MANAGE_ROUTES)
def act(request: HttpRequest, visit: Visit, name: str) -> HttpResponse:
    wish = request.POST.get("wish")
    if wish not in ("start", "share", "promote", "roll_back"):
        raise Http404
    try:
        messages.success(request, _done(request, visit, name, wish))
    except InvalidField as refusal:
        messages.error(request, refusal.message)
    return redirect("routes-show", name=name)


def _done(request: HttpRequest, visit: Visit, name: str, wish: str) -> str:
    if wish == "start":
        draft = get_object_or_404(RouteDraft.objects.of(visit.organization).select_related("org"), name=name)
        canaries.start(
            draft,
            visit.actor,
            _number(request, "percent"),
            most_error_percent=_number(request, "most_error_percent"),
            least_requests=_number(request, "least_requests"),
        )
        return _("The draft is on trial. It is rolled back by itself when it fails too often.")
    rows = Canary.objects.of(visit.organization).filter(state=Canary.RUNNING).select_related("org", "route")
    row = get_object_or_404(rows, route__name=name)
    if wish == "share":
        canaries.set_percent(row, visit.actor, _number(request, "percent"))
        return _("Saved. Every gateway process knows within a second.")
    if wish == "promote":
        canaries.promote(row, visit.actor)
        return _("The canary is the route now, as a new version.")
    canaries.roll_back(row, visit.actor)
    return _("Rolled back. The draft is still there.")


def _number(request: HttpRequest, name: str) -> int:
    """-1, which is refused, for what is no number."""
    text = request.POST.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 9 else -1
