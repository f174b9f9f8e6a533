"""Route tester: who would answer a call, in which order, and why the others would not. Nothing is called."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.errors import InvalidField
from accounts.models import ApiKey
from accounts.roles import Permission
from common.errors import CodedError
from console.forms.drills import DrillForm
from console.forms.route_tests import RouteTestForm
from console.forms.simulations import SimulationForm
from console.offers import names_among
from console.pages.simulations import drafts_to_simulate
from console.visit import Visit, page
from routing.drafts import explain_draft
from routing.drills import names_to_drill, running_drills
from routing.explanation import Explanation
from routing.models import RouteDraft, Simulation
from routing.tester import explain_call, targets_now

_SHOWN_SIMULATIONS = 5


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    asked, targets = "model" in request.GET, targets_now(visit.organization).values()
    keys = dict(ApiKey.objects.of(visit.organization).filter(revoked_at=None).values_list("public_id", "name"))
    form = RouteTestForm(request.GET if asked else None, keys=keys)
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
            context["told"] = _told(visit, form)
        except CodedError as refusal:
            form.absorb(refusal)
    return render(request, "route_tester/index.html", context, status=422 if form.errors else 200)


def _told(visit: Visit, form: RouteTestForm) -> Explanation:
    """Raises: CodedError: there is no such call, or no such draft."""
    call, key = form.call(), form.cleaned_data["key"]
    if not form.cleaned_data["draft"]:
        return explain_call(visit.organization, call, key)
    drafts = RouteDraft.objects.of(visit.organization).select_related("org")
    draft = drafts.filter(name=call.models[0]).first()
    if draft is None:
        raise InvalidField.one("draft", _("There is no draft of “%(name)s”.") % {"name": call.models[0]})
    return explain_draft(draft, call, key)
