"""Prices of own machines within the operator's bounds, and every one that was in force."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.errors import InvalidField
from accounts.roles import Permission
from billing.earnings import figures
from billing.models import PriceVersion
from billing.prices import rates_of
from common.money import usd_from_nanos
from common.rates import Tier, tiers_within
from console.forms.earnings import PriceForm
from console.visit import Visit, page
from nodes import services
from nodes.errors import InvalidNode, NodeRevoked
from nodes.models import NodeModel


@never_cache
@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_NODES)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    """A new price counts from the next request on; what is under way keeps the old one."""
    form = PriceForm(request.POST) if request.method == "POST" else None
    if form is not None and form.is_valid() and _changed(request, visit, form):
        return redirect("earnings-prices")
    models = figures.offered_models(visit.organization)
    history = figures.price_history(models)
    context = {
        "rows": [(model, _form_of(model, form), _with_tiers(history[-model.pk])) for model in models],
        "least": settings.NODE_PRICE_LEAST_USD,
        "most": settings.NODE_PRICE_MOST_USD,
    }
    return render(request, "earnings/prices.html", context, status=422 if form is not None else 200)


def _changed(request: HttpRequest, visit: Visit, form: PriceForm) -> bool:
    said = form.cleaned_data
    node = get_object_or_404(services.nodes_of(visit.organization), public_id=said["node"])
    prices = {name: said[name] for name in ("input_price", "output_price", "price_tiers")}
    try:
        services.update_node(node, visit.actor, {"models": [{"upstream_id": said["upstream_id"], **prices}]})
    except InvalidField as refusal:
        form.absorb(InvalidNode((refusal.param or "").removeprefix("models.0."), refusal.message))
        return False
    except NodeRevoked as refusal:
        form.absorb(refusal)
        return False
    messages.success(request, _("Saved. The next request is billed so; those under way keep the old price."))
    return True


def _with_tiers(history: Sequence[PriceVersion]) -> list[tuple[PriceVersion, Sequence[Tier]]]:
    """Each with what requests with long prompts cost by it."""
    priced = [(row, rates_of(row)) for row in history]
    return [(row, [] if rates is None else tiers_within(rates, sys.maxsize)[1:]) for row, rates in priced]


def _form_of(model: NodeModel, sent: PriceForm | None) -> PriceForm:
    """What was sent for this model, with its mistakes, or else its prices."""
    place = {"node": model.node.public_id, "upstream_id": model.upstream_id}
    if sent is not None and all(sent.data.get(name) == value for name, value in place.items()):
        return sent
    initial = place | {
        "input_price": f"{usd_from_nanos(model.input_price_nanos).normalize():f}",
        "output_price": f"{usd_from_nanos(model.output_price_nanos).normalize():f}",
        "price_tiers": model.price_tiers,
    }
    return PriceForm(initial=initial, auto_id=f"id_{model.pk}_%s")
