"""What an organisation can route to, with price, health and speed, as values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from accounts.models import Organization
from console.api.evidence import Evidence, Health, evidence_of
from console.offers import served_in_sight
from providers.models import ServedModel
from routing.models import Route

_HEALTHIEST_FIRST = ("healthy", "degraded", "down")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, and for a request."""

    input_price: Decimal
    cached_input_price: Decimal | None
    output_price: Decimal
    request_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEntry:
    """One model at one provider. `health` is None without traffic lately, `price` when it is not known."""

    id: str
    name: str
    model: str
    kind: str
    provider: str
    provider_name: str
    is_own: bool
    price: Price | None
    priority: int
    weight: int
    context_tokens: int | None
    max_output_tokens: int | None
    capabilities: list[str]
    simulated: bool
    health: Health | None
    first_token_p50_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One name that callers can ask for. Of its targets: the lowest price, the best health, the largest context."""

    id: str
    is_route: bool
    kind: str
    targets: list[str]
    price: Price | None
    context_tokens: int | None
    capabilities: list[str]
    health: Health | None
    first_token_p50_ms: float | None


def targets_of(organization: Organization) -> list[TargetEntry]:
    return _targets(organization, evidence_of(organization))


def models_of(organization: Organization) -> list[ModelEntry]:
    """Routes and the models that are served; a route whose targets are all gone is not one of them."""
    evidence = evidence_of(organization)
    targets = _targets(organization, evidence)
    by_name: defaultdict[str, list[TargetEntry]] = defaultdict(list)
    by_model: defaultdict[str, list[TargetEntry]] = defaultdict(list)
    for target in targets:
        by_name[target.name].append(target)
        by_model[target.model].append(target)
    legs = {**by_model, **by_name}
    routes = {
        route.name: [target for leg in route.targets for target in legs.get(leg["target"], [])]
        for route in Route.objects.of(organization).filter(enabled=True)
    }
    named = dict(by_model) | {name: found for name, found in routes.items() if found}
    return [_model(name, name in routes, found, evidence) for name, found in named.items()]


def _targets(organization: Organization, evidence: Evidence) -> list[TargetEntry]:
    return [_target(row, evidence) for row in served_in_sight(organization)]


def _target(row: ServedModel, evidence: Evidence) -> TargetEntry:
    connection = row.connection
    name = f"{connection.slug}/{row.model_id}"
    return TargetEntry(
        id=row.public_id,
        name=name,
        model=row.model_id,
        kind=row.kind,
        provider=connection.slug,
        provider_name=connection.name,
        is_own=connection.org_id is not None,
        price=_price(row),
        priority=connection.priority,
        weight=row.weight,
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        capabilities=sorted(row.capabilities),
        simulated=connection.simulated,
        health=evidence.health.get(name),
        first_token_p50_ms=evidence.p50_of_target.get(name),
    )


def _price(row: ServedModel) -> Price | None:
    if row.input_price is None or row.output_price is None:
        return None
    return Price(row.input_price, row.cached_input_price, row.output_price, row.request_price)


def _model(name: str, is_route: bool, targets: Sequence[TargetEntry], evidence: Evidence) -> ModelEntry:
    prices = [target.price for target in targets if target.price]
    return ModelEntry(
        id=name,
        is_route=is_route,
        kind=targets[0].kind,
        targets=list(dict.fromkeys(target.name for target in targets)),
        price=min(prices, key=lambda price: price.input_price + price.output_price, default=None),
        context_tokens=max((target.context_tokens or 0 for target in targets), default=0) or None,
        capabilities=sorted({word for target in targets for word in target.capabilities}),
        health=_healthiest(target.health for target in targets if target.health),
        first_token_p50_ms=evidence.p50_of_model.get(name),
    )


def _healthiest(seen: Iterable[Health]) -> Health | None:
    return min(seen, key=lambda health: _HEALTHIEST_FIRST.index(health.state), default=None)
