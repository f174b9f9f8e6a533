"""What a request cost, line by line, by the version of the price that it was served at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
from django.db.models import Sum

from billing.models import Charge, PriceVersion
from billing.prices import Rates, rates_of
from common.rates import Line, TokenDetails, lines_of, tier_at
from metering.models import Usage


@dataclass(frozen=True, slots=True)
class Used:
    """What one target used for a request, and the version of its price."""

    target: str
    target_id: int
    price_version: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    token_details: TokenDetails | None
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class Bill:
    """`above_tokens` is where the tier begins that its prompt met; 0 without one. `nanos` is rounded, once."""

    target: str
    price_version: int
    above_tokens: int
    lines: list[Line]
    request_nanos: int
    nanos: int


def bills_of(requests: Iterable[Usage]) -> dict[str, list[Bill]]:
    """By request: a bill for each target that is charged; none where no price was known, or nobody was asked."""
    used = {usage.request_id: list(_used(usage)) for usage in requests}
    everything = [one for parts in used.values() for one in parts]
    versions = PriceVersion.objects.filter(
        target_id__in={one.target_id for one in everything}, version__in={one.price_version for one in everything}
    )
    rates = {(row.target_id, row.version): rates_of(row) for row in versions}
    return {request_id: list(_bills(parts, rates)) for request_id, parts in used.items()}


def corrected_nanos(usage: Usage) -> int:
    """What re-ratings charged in addition; negative for what they gave back."""
    names = [usage.request_id, *(f"{usage.request_id}#{number}" for number in range(1, len(usage.attempts) + 1))]
    later = Charge.objects.filter(request_id__in=names, revision__gt=0, org_id=usage.org_id)
    return later.aggregate(sum=Sum("charge_nanos"))["sum"] or 0


def _bills(parts: Iterable[Used], rates: Mapping[tuple[int, int], Rates | None]) -> Iterator[Bill]:
    for one in parts:
        price = rates.get((one.target_id, one.price_version))
        if price is not None:
            yield _bill(one, price)


def _bill(used: Used, price: Rates) -> Bill:
    above_tokens = tier_at(price, used.input_tokens).above_tokens
    return Bill(
        used.target, used.price_version, above_tokens, lines_of(used, price), price.request_nanos, used.cost_nanos
    )


def _used(usage: Usage) -> Iterator[Used]:
    parts = [attempt for attempt in usage.attempts if (attempt.get("used") or {}).get("charged")]
    if not parts and usage.target_id is not None and usage.price_version is not None:
        yield Used(
            usage.target, usage.target_id, usage.price_version, usage.input_tokens, usage.cached_tokens,
            usage.output_tokens, _details(usage.token_details), usage.cost_nanos,
        )  # fmt: skip
    for attempt in parts:
        said = attempt["used"]
        if said["price_version"] is not None:
            yield Used(
                attempt["target"], attempt["target_id"], said["price_version"], said["input_tokens"],
                said["cached_tokens"], said["output_tokens"], _details(said.get("token_details")), said["cost_nanos"],
            )  # fmt: skip


def _details(told: dict[str, int] | None) -> TokenDetails | None:
    return None if told is None else msgspec.convert(told, TokenDetails)
