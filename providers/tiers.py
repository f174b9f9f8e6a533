"""Finer prices of a served model: how they are entered, kept and priced with. Pure.

Kept are prices in US dollars for a million tokens: of each kind of tokens in a column, of each tier as a mapping of
strings. `FinerRates` are the same in nano-USD.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from common.money import nanos_from_usd
from common.numbers import plain
from common.rates import FinerRates, Tier

if TYPE_CHECKING:
    from providers.models import ServedModel

KIND_PRICES = ("cache_write_price", "audio_input_price", "reasoning_price", "audio_output_price")
TIER_PRICES = ("input_price", "output_price", "cached_input_price", *KIND_PRICES)
MOST_TIERS = 8

PriceTier = dict[str, Any]
"""`above_tokens`, an integer, and of `TIER_PRICES` those that it has; input and output it always has."""


def tier_of(above_tokens: int, prices: Mapping[str, Decimal | None]) -> PriceTier:
    """In the one form that is kept, so that equal tiers are equal."""
    said = {name: plain(price) for name in TIER_PRICES if (price := prices.get(name)) is not None}
    return {"above_tokens": above_tokens} | said


def finer_of(row: ServedModel) -> FinerRates | None:
    """Exact. None: its four figures say it all."""
    kinds = {name: _nanos(getattr(row, name)) for name in KIND_PRICES}
    tiers = sorted((_rates(tier) for tier in row.price_tiers), key=lambda tier: tier.above_tokens)
    if not tiers and not any(nanos is not None for nanos in kinds.values()):
        return None
    return FinerRates(**{_named(name): nanos for name, nanos in kinds.items()}, tiers=tuple(tiers))


def _rates(tier: PriceTier) -> Tier:
    prices = {_named(name): nanos_from_usd(Decimal(tier[name])) for name in TIER_PRICES if name in tier}
    return Tier(above_tokens=tier["above_tokens"], **prices)


def _nanos(price: Decimal | None) -> int | None:
    return None if price is None else nanos_from_usd(price)


def _named(name: str) -> str:
    return f"{name.removesuffix('_price')}_nanos"
