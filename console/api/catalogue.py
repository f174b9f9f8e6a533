"""What an organisation can route to, with price, health and speed, as values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from accounts.models import Organization
from common.money import usd_from_nanos
from console.api.evidence import Evidence, evidence_of
from console.health import Attempts, Health
from console.offers import machines_in_sight, served_in_sight
from console.targets import states_of_machines, states_of_served
from nodes.models import NodeModel
from providers.models import ServedModel
from providers.states import Condition, TargetState
from providers.targets import CLOUD, Target
from providers.tiers import KIND_PRICES, PriceTier
from routing.models import Route

_HEALTHIEST_FIRST = (Health.HEALTHY, Health.DEGRADED, Health.DOWN)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, and for a request."""

    input_price: Decimal
    cached_input_price: Decimal | None
    output_price: Decimal
    request_price: Decimal
    cache_write_price: Decimal | None = None
    audio_input_price: Decimal | None = None
    reasoning_price: Decimal | None = None
    audio_output_price: Decimal | None = None
    price_tiers: Sequence[PriceTier] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEntry:
    """One model at one provider or machine. `health` is None without traffic lately, `price` when it is not known."""

    id: str
    name: str
    model: str
    kind: str
    provider: str
    provider_name: str
    is_own: bool
    place: str
    named_only: bool
    price: Price | None
    priority: int
    weight: int
    context_tokens: int | None
    max_output_tokens: int | None
    capabilities: list[str]
    simulated: bool
    state: Condition
    health: Attempts | None
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
    health: Attempts | None
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
        by_model[target.name if target.named_only else target.model].append(target)
    legs = {**by_model, **by_name}
    routes = {
        route.name: [target for leg in route.targets for target in legs.get(leg["target"], [])]
        for route in Route.objects.of(organization).filter(enabled=True)
    }
    named = dict(by_model) | {name: found for name, found in routes.items() if found}
    return [_model(name, name in routes, found, evidence) for name, found in named.items()]


def _targets(organization: Organization, evidence: Evidence) -> list[TargetEntry]:
    served, machines = list(served_in_sight(organization)), machines_in_sight(organization)
    states = states_of_served(served) | states_of_machines(row for _target, row in machines)
    return [_target(row, evidence, states[row.pk]) for row in served] + [
        _machine(target, row, organization, evidence, states[target.id]) for target, row in machines
    ]


def _target(row: ServedModel, evidence: Evidence, state: TargetState) -> TargetEntry:
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
        place=CLOUD,
        named_only=False,
        price=_price(row),
        priority=connection.priority,
        weight=row.weight,
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        capabilities=sorted(row.capabilities),
        simulated=connection.simulated,
        state=state.condition,
        health=evidence.attempts.get(name),
        first_token_p50_ms=evidence.p50_of_target.get(name),
    )


def _machine(
    target: Target, row: NodeModel, organization: Organization, evidence: Evidence, state: TargetState
) -> TargetEntry:
    return TargetEntry(
        id=row.public_id,
        name=target.name,
        model=target.model_id,
        kind=target.kind,
        provider=target.connection_slug,
        provider_name=target.connection_name,
        is_own=target.org_id == organization.pk,
        place=target.place,
        named_only=target.named_only,
        price=Price(
            usd_from_nanos(row.input_price_nanos),
            None,
            usd_from_nanos(row.output_price_nanos),
            Decimal(0),
            price_tiers=row.price_tiers,
        ),
        priority=target.priority,
        weight=target.weight,
        context_tokens=target.context_tokens,
        max_output_tokens=None,
        capabilities=sorted(target.capabilities),
        simulated=False,
        state=state.condition,
        health=evidence.attempts.get(target.name),
        first_token_p50_ms=evidence.p50_of_target.get(target.name),
    )


def _price(row: ServedModel) -> Price | None:
    if row.input_price is None or row.output_price is None:
        return None
    return Price(
        row.input_price,
        row.cached_input_price,
        row.output_price,
        row.request_price,
        **{name: getattr(row, name) for name in KIND_PRICES},
        price_tiers=row.price_tiers,
    )


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


def _healthiest(seen: Iterable[Attempts]) -> Attempts | None:
    return min(seen, key=lambda attempts: _HEALTHIEST_FIRST.index(attempts.state or Health.DOWN), default=None)
