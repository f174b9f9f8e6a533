"""Route tester: who would answer a call, in which order, and why the others would not. Nothing is called."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.roles import Permission
from common.errors import CodedError
from console.forms.drills import DrillForm
from console.forms.route_tests import RouteTestForm
from console.offers import model_names
from console.visit import Visit, page
from routing.drills import names_to_drill, running_drills
from routing.tester import explain_call


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    asked = "model" in request.GET
    form = RouteTestForm(request.GET if asked else None)
    context: dict[str, object] = {
        "form": form,
        "names": model_names(visit),
        "drills": running_drills(visit.organization),
    }
    if visit.allows(Permission.MANAGE_ROUTES) and (names := names_to_drill(visit.organization)):
        context["drill_form"] = DrillForm(names=names, auto_id="drill_%s")
    if asked and form.is_valid():
        try:
            context["told"] = explain_call(visit.organization, form.call())
        except CodedError as refusal:
            form.absorb(refusal)
    return render(request, "route_tester/index.html", context, status=422 if form.errors else 200)
