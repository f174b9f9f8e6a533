"""Models: what can be called, who serves it, at which price, and how it has been doing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.roles import Permission
from console.offers import served_in_sight
from console.visit import Visit, page
from metering.queries import UsageRow, usage_report
from providers.models import ServedModel
from routing.models import Route

_LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Offer:
    """One name that applications can ask for."""

    name: str
    kind: str
    served: tuple[ServedModel, ...]
    usage: UsageRow | None
    is_route: bool = False

    @property
    def cheapest(self) -> ServedModel | None:
        priced = [each for each in self.served if each.input_price is not None]
        return min(priced, key=_both_prices, default=None)

    @property
    def context_tokens(self) -> int | None:
        return max((each.context_tokens for each in self.served if each.context_tokens), default=None)

    @property
    def capabilities(self) -> list[str]:
        return sorted({name for each in self.served for name in each.capabilities})


def _both_prices(served: ServedModel) -> Decimal:
    return (served.input_price or Decimal(0)) + (served.output_price or Decimal(0))


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    words, kind, can = (request.GET.get(name, "").strip() for name in ("q", "kind", "can"))
    everything = offers_of(visit)
    offers = [each for each in everything if _fits(each, words.lower(), kind, can)]
    context = {
        "offers": offers,
        "has_any": bool(everything),
        "q": words,
        "kind": kind,
        "can": can,
        "capabilities": sorted({name for each in everything for name in each.capabilities}),
        "may_manage": visit.allows(Permission.MANAGE_PROVIDERS),
        "may_play": visit.allows(Permission.USE_PLAYGROUND),
    }
    return render(request, "models/index.html", context)


def offers_of(visit: Visit) -> list[Offer]:
    """Routes first, then every served model by name."""
    served = list(served_in_sight(visit.organization).order_by("model_id", "connection__priority"))
    now = timezone.now()
    rows = usage_report(visit.organization, now - _LOOK_BACK, now, ["model"])
    usage = {row.model: row for row in rows}
    routes = Route.objects.of(visit.organization).filter(enabled=True).order_by("name")
    offers = [_route_offer(route, served, usage.get(route.name)) for route in routes]
    taken = {each.name for each in offers}
    return offers + [each for each in _model_offers(served, usage) if each.name not in taken]


def _route_offer(route: Route, served: Iterable[ServedModel], usage: UsageRow | None) -> Offer:
    wanted = {target["target"] for target in route.targets}
    behind = tuple(each for each in served if f"{each.connection.slug}/{each.model_id}" in wanted)
    return Offer(route.name, behind[0].kind if behind else "chat", behind, usage, is_route=True)


def _model_offers(served: Iterable[ServedModel], usage: dict[str | None, UsageRow]) -> list[Offer]:
    groups: dict[str, list[ServedModel]] = {}
    for each in served:
        groups.setdefault(each.model_id, []).append(each)
    return [Offer(name, group[0].kind, tuple(group), usage.get(name)) for name, group in groups.items()]


def _fits(offer: Offer, words: str, kind: str, can: str) -> bool:
    named = f"{offer.name} {' '.join(each.connection.name for each in offer.served)}".lower()
    return words in named and (not kind or offer.kind == kind) and (not can or can in offer.capabilities)
