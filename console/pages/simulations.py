"""Simulations of drafts: begin one from the route tester, watch it, read what it found, cancel it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.errors import InvalidField
from accounts.roles import Permission
from console.forms.simulations import SimulationForm
from console.route_sentences import sentences
from console.visit import Visit, page
from routing.models import RouteDraft, Simulation
from routing.simulations import cancel_simulation, start_simulation
from routing.tasks import run_simulation


def drafts_to_simulate(visit: Visit) -> list[str]:
    return list(RouteDraft.objects.of(visit.organization).order_by("name").values_list("name", flat=True))


@require_POST
@page(Permission.MANAGE_ROUTES)
def start(request: HttpRequest, visit: Visit) -> HttpResponse:
    form = SimulationForm(request.POST, drafts=drafts_to_simulate(visit))
    if not form.is_valid():
        messages.error(request, _("Choose a draft to simulate."))
        return redirect("route-tester")
    drafts = RouteDraft.objects.of(visit.organization).select_related("org")
    draft = get_object_or_404(drafts, name=form.cleaned_data["name"])
    try:
        begun = start_simulation(draft, visit.actor, traffic=form.wanted_traffic(), run=run_simulation.delay)
    except InvalidField as refusal:
        messages.error(request, refusal.message)
        return redirect("route-tester")
    return redirect("simulations-show", public_id=begun.public_id)


@require_GET
@page(Permission.VIEW_USAGE)
def show(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    """The fragment alone for who asks again while it runs."""
    simulation = _simulation(visit, public_id)
    context: dict[str, Any] = {
        "simulation": simulation,
        "sentences": sentences(simulation.name, simulation.content),
        "may_manage": visit.allows(Permission.MANAGE_ROUTES),
    }
    is_fragment = request.headers.get("HX-Request") == "true"
    return render(request, "simulations/_state.html" if is_fragment else "simulations/show.html", context)


@require_POST
@page(Permission.MANAGE_ROUTES)
def cancel(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    cancel_simulation(_simulation(visit, public_id), visit.actor)
    return redirect("simulations-show", public_id=public_id)


def _simulation(visit: Visit, public_id: str) -> Simulation:
    return get_object_or_404(Simulation.objects.of(visit.organization).select_related("org"), public_id=public_id)
