"""Models: what can be called, who serves it, at which price, and how it has been doing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import Organization
from accounts.roles import Permission
from common.money import usd_from_nanos
from console.availability import availability_of
from console.kind_words import CHOICES
from console.offers import machines_in_sight, served_in_sight
from console.visit import Visit, page
from metering.reports import UsageRow, usage_report
from nodes.models import NodeModel
from providers.models import ServedModel
from providers.targets import Target
from routing.models import Route

_LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class LongPrice:
    """What a request costs whose prompt has more tokens: the first tier."""

    above_tokens: int
    input_price: Decimal
    output_price: Decimal


@dataclass(frozen=True, slots=True)
class Server:
    """A provider, or a machine, that serves a model. `target` is how a route names the two together.

    Args:
        url: of its page; "" for a machine of others, which is not this organisation's to look at.
        bare: whether it answers to the model's bare name, or to `target` alone.
        uptime: the provider's share of the last 90 days; None where nothing is known of it.
    """

    name: str
    url: str
    target: str
    model: str
    kind: str
    input_price: Decimal | None
    output_price: Decimal | None
    context_tokens: int | None
    capabilities: tuple[str, ...]
    is_machine: bool = False
    is_simulated: bool = False
    bare: bool = True
    uptime: float | None = None
    long_price: LongPrice | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """One name that applications can ask for."""

    name: str
    kind: str
    served: tuple[Server, ...]
    usage: UsageRow | None
    is_route: bool = False

    @property
    def cheapest(self) -> Server | None:
        priced = [each for each in self.served if each.input_price is not None]
        return min(priced, key=_both_prices, default=None)

    @property
    def context_tokens(self) -> int | None:
        return max((each.context_tokens for each in self.served if each.context_tokens), default=None)

    @property
    def capabilities(self) -> list[str]:
        return sorted({name for each in self.served for name in each.capabilities})


def _both_prices(served: Server) -> Decimal:
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
        "kinds": CHOICES,
        "can": can,
        "capabilities": sorted({name for each in everything for name in each.capabilities}),
        "may_manage": visit.allows(Permission.MANAGE_PROVIDERS),
        "may_add_machines": visit.allows(Permission.MANAGE_NODES),
        "may_play": visit.allows(Permission.USE_PLAYGROUND),
    }
    return render(request, "models/index.html", context)


def offers_of(visit: Visit) -> list[Offer]:
    """Routes first, then every served model by name."""
    served = servers_of(visit.organization)
    now = timezone.now()
    rows = usage_report(visit.organization, now - _LOOK_BACK, now, ["model"])
    usage = {row.model: row for row in rows}
    routes = Route.objects.of(visit.organization).filter(enabled=True).order_by("name")
    offers = [_route_offer(route, served, usage.get(route.name)) for route in routes]
    taken = {each.name for each in offers}
    return offers + [each for each in _model_offers(served, usage) if each.name not in taken]


def servers_of(organization: Organization) -> list[Server]:
    """By model; providers first, then machines, each as priorities have it."""
    served = list(served_in_sight(organization).order_by("model_id", "connection__priority"))
    available = availability_of(organization, {row.connection for row in served})
    machines = [_machine(target, row, organization) for target, row in machines_in_sight(organization)]
    clouds = [_provider(row, available[row.connection_id].share) for row in served]
    return sorted([*clouds, *machines], key=lambda each: each.model)


def _provider(served: ServedModel, uptime: float | None) -> Server:
    return Server(
        name=served.connection.name,
        url=reverse("providers-detail", args=[served.connection.public_id]),
        target=f"{served.connection.slug}/{served.model_id}",
        model=served.model_id,
        kind=served.kind,
        input_price=served.input_price,
        output_price=served.output_price,
        context_tokens=served.context_tokens,
        capabilities=tuple(served.capabilities),
        is_simulated=served.connection.simulated,
        uptime=uptime,
        long_price=_long_price(served),
    )


def _long_price(served: ServedModel | NodeModel) -> LongPrice | None:
    if not served.price_tiers:
        return None
    tier = served.price_tiers[0]
    return LongPrice(tier["above_tokens"], Decimal(tier["input_price"]), Decimal(tier["output_price"]))


def _machine(target: Target, row: NodeModel, organization: Organization) -> Server:
    is_own = target.org_id == organization.pk
    return Server(
        name=target.connection_name,
        url=reverse("nodes-detail", args=[target.node]) if is_own else "",
        target=target.name,
        model=target.model_id,
        kind=target.kind,
        input_price=usd_from_nanos(row.input_price_nanos),
        output_price=usd_from_nanos(row.output_price_nanos),
        context_tokens=target.context_tokens,
        capabilities=tuple(sorted(target.capabilities)),
        is_machine=True,
        long_price=_long_price(row),
        bare=not target.named_only,
    )


def _route_offer(route: Route, served: Iterable[Server], usage: UsageRow | None) -> Offer:
    wanted = {target["target"] for target in route.targets}
    behind = tuple(each for each in served if each.target in wanted)
    return Offer(route.name, behind[0].kind if behind else "chat", behind, usage, is_route=True)


def _model_offers(served: Iterable[Server], usage: dict[str | None, UsageRow]) -> list[Offer]:
    groups: dict[str, list[Server]] = {}
    for each in served:
        groups.setdefault(each.model if each.bare else each.target, []).append(each)
    return [Offer(name, group[0].kind, tuple(group), usage.get(name)) for name, group in groups.items()]


def _fits(offer: Offer, words: str, kind: str, can: str) -> bool:
    named = f"{offer.name} {' '.join(each.name for each in offer.served)}".lower()
    return words in named and (not kind or offer.kind == kind) and (not can or can in offer.capabilities)
