"""Quotas: how much may come and how much may be spent, of the organisation and of each scope within it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from accounts import limits
from accounts.errors import InvalidField
from accounts.roles import Permission
from accounts.scopes import KEY, MEMBER, MODEL, NODE, ORGANISATION, ROUTE
from console.forms.quotas import QuotaForm
from console.quotas import find_subject, rows_of
from console.visit import Visit, page


@require_GET
@page(Permission.VIEW_USAGE)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    rows = rows_of(visit)
    groups = [
        (_("Members"), rows.get(MEMBER, [])),
        (_("API keys"), rows.get(KEY, [])),
        (_("Routes"), rows.get(ROUTE, [])),
        (_("Models"), rows.get(MODEL, [])),
        (_("Machines"), rows.get(NODE, [])),
    ]
    context = {
        "whole": rows[ORGANISATION][0],
        "groups": [(label, found) for label, found in groups if found],
        "marked": [one for found in rows.values() for row in found for one in row.budgets if one.mark],
        "may_manage": visit.allows(Permission.MANAGE_LIMITS),
    }
    return render(request, "quotas/index.html", context)


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_LIMITS)
def edit(request: HttpRequest, visit: Visit, scope: str, subject: str = "") -> HttpResponse:
    found = find_subject(visit, scope, subject)
    figures = limits.find_limits(visit.organization, scope, found.stored)
    form = QuotaForm(request.POST or None, figures=figures, has_budgets=scope != NODE)
    if request.method == "POST" and form.is_valid():
        try:
            limits.set_limits(
                visit.organization, visit.actor, scope, found.stored, wishes=form.wanted(), label=found.name
            )
            messages.success(request, _("Saved. Every gateway process knows within a second."))
            return redirect("quotas")
        except InvalidField as refusal:
            form.absorb(refusal)
    context = {"form": form, "subject": found, "is_whole": scope == ORGANISATION}
    return render(request, "quotas/edit.html", context, status=422 if form.errors else 200)
