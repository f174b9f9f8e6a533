"""Route tester: who would answer a call, in which order, and why the others would not. Nothing is called."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.roles import Permission
from common.errors import CodedError
from console.forms.drills import DrillForm
from console.forms.route_tests import RouteTestForm
from console.forms.simulations import SimulationForm
from console.offers import names_among
from console.pages.simulations import drafts_to_simulate
from console.visit import Visit, page
from routing.drills import names_to_drill, running_drills
from routing.models import Simulation
from routing.tester import explain_call, targets_now

_SHOWN_SIMULATIONS = 5


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    asked, targets = "model" in request.GET, targets_now(visit.organization).values()
    form = RouteTestForm(request.GET if asked else None)
    context: dict[str, object] = {
        "form": form,
        "names": names_among(visit, targets),
        "drills": running_drills(visit.organization),
    }
    if visit.allows(Permission.VIEW_USAGE):
        rows = Simulation.objects.of(visit.organization).order_by("-created_at")
        context["simulations"] = rows[:_SHOWN_SIMULATIONS]
    if visit.allows(Permission.MANAGE_ROUTES) and (drafts := drafts_to_simulate(visit)):
        context["simulation_form"] = SimulationForm(drafts=drafts, auto_id="simulation_%s")
    if visit.allows(Permission.MANAGE_ROUTES) and (names := names_to_drill(targets)):
        context["drill_form"] = DrillForm(names=names, auto_id="drill_%s")
    if asked and form.is_valid():
        try:
            context["told"] = explain_call(visit.organization, form.call())
        except CodedError as refusal:
            form.absorb(refusal)
    return render(request, "route_tester/index.html", context, status=422 if form.errors else 200)
