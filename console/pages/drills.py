"""Outage drills, as a part of the route tester: begin one, end one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.roles import Permission
from console.forms.drills import DrillForm
from console.visit import Visit, page
from routing.drills import end_drill, names_to_drill, start_drill
from routing.models import Drill
from routing.tester import targets_now


@require_POST
@page(Permission.MANAGE_ROUTES)
def start(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = DrillForm(request.POST, names=names_to_drill(targets_now(visit.organization).values()))
    if form.is_valid():
        drill = start_drill(visit.organization, visit.actor, **form.cleaned_data)
        said = _("“%(name)s” counts as down for this organisation. The drill ends by itself.")
        messages.success(request, said % {"name": drill.target})
    else:
        messages.error(request, _("Choose what is to be down, and for how long."))
    return redirect("route-tester")


@require_POST
@page(Permission.MANAGE_ROUTES)
def end(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    drill = get_object_or_404(Drill.objects.of(visit.organization).select_related("org"), public_id=public_id)
    end_drill(drill, visit.actor)
    messages.success(request, _("The drill of “%(name)s” is over.") % {"name": drill.target})
    return redirect("route-tester")
