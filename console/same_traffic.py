"""What the same requests would have cost elsewhere, by the prices of now: their tokens, on each target in sight.

Prices of long prompts included. Kinds of tokens are not told apart in sums: each costs as the others of its side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from accounts.models import Organization
from common.money import request_cost_nanos
from common.rates import tier_at
from console.offers import served_in_sight
from metering.lengths import EDGES, Part, parts_of
from metering.reports import UsageRow, total_of
from nodes.sources import load_targets
from providers.sources import price_of
from providers.targets import Price

CHAT = "chat"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """`nanos` is None where no price is known, and rough where a tier begins within a step of `metering.lengths`."""

    target: str
    provider: str
    price: Price | None
    nanos: int | None
    difference: int | None

    @property
    def is_rough(self) -> bool:
        tiers = self.price.finer.tiers if self.price and self.price.finer else ()
        return any(tier.above_tokens not in EDGES for tier in tiers)


@dataclass(frozen=True, slots=True)
class SameTraffic:
    """`row` sums the requests that a target answered: what came from memory would have come from memory there too."""

    row: UsageRow
    offers: Sequence[Elsewhere]


def same_traffic(organization: Organization, by_target: Iterable[UsageRow]) -> SameTraffic:
    """The cheapest first.

    Args:
        by_target: usage, grouped by target.
    """
    row = total_of([one for one in by_target if one.target])
    offers = [_elsewhere(row, *offer) for offer in _offers(organization)]
    return SameTraffic(row, sorted(offers, key=lambda one: (one.nanos is None, one.nanos or 0, one.target)))


def _offers(organization: Organization) -> Iterable[tuple[str, str, Price | None]]:
    for served in served_in_sight(organization).filter(kind=CHAT):
        yield f"{served.connection.slug}/{served.model_id}", served.connection.name, price_of(served)
    for target in load_targets(organization.pk, uses_community=organization.uses_community_nodes):
        if target.kind == CHAT:
            yield target.name, target.connection_name, target.price


def _elsewhere(row: UsageRow, target: str, provider: str, price: Price | None) -> Elsewhere:
    if price is None:
        return Elsewhere(target, provider, None, None, None)
    nanos = cost_of_all(row, price)
    return Elsewhere(target, provider, price, nanos, nanos - row.spend_nanos)


def cost_of_all(row: UsageRow, price: Price) -> int:
    """Of all requests of a row: rounded once for each length of prompts, not once a request.

    A tier that begins within a step, where no vendor's does, holds for all of it or for none, by its average prompt.
    """
    return sum(_cost_of(part, price) for part in parts_of(row)) + row.requests * price.request_nanos


def _cost_of(part: Part, price: Price) -> int:
    """Without what each request costs."""
    tier = tier_at(price, part.prompt_tokens)
    rates = msgspec.structs.replace(
        price,
        input_nanos=tier.input_nanos,
        output_nanos=tier.output_nanos,
        cached_input_nanos=tier.cached_input_nanos,
        request_nanos=0,
        finer=None,
    )
    return request_cost_nanos(part, rates)
