"""Reads the price catalogue in a process of its own: `python -m providers.pricebook < questions > answers`.

The catalogue is a large Python module that would stay in the memory of every worker for the sake of a few
look-ups a day; `providers.catalog` asks through here instead. One JSON line in, `[[vendor, model], …]`; one out,
a list with a dictionary or null per question. No network is used.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices, TimeOfDateConstraint

_UNITS = {
    "input_price": "input_mtok",
    "cached_input_price": "cache_read_mtok",
    "output_price": "output_mtok",
    "cache_write_price": "cache_write_mtok",
    "audio_input_price": "input_audio_mtok",
    "reasoning_price": "output_reasoning_mtok",
    "audio_output_price": "output_audio_mtok",
}
_BY_ID = {provider.id: provider for provider in providers}


def answer(vendor: str, model: str, at: datetime) -> dict[str, Any] | None:
    provider = _BY_ID.get(vendor)
    found = provider.find_model(model, all_providers=providers) if provider else None
    if found is None:
        return None
    prices = _standing_prices(found, at)
    plain = _prices_above(prices, 0)
    if plain["input_price"] is None:
        return None
    return {
        **plain,
        "model": found.id,
        "request": str((_at(prices.requests_kcount, 0) or Decimal(0)) / 1000),
        "tiers": [{**_prices_above(prices, start), "above_tokens": start} for start in _starts(prices)],
        "context_tokens": found.context_window,
    }


def _starts(prices: ModelPrice) -> list[int]:
    values = [getattr(prices, unit) for unit in _UNITS.values()]
    return sorted({tier.start for value in values if isinstance(value, TieredPrices) for tier in value.tiers})


def _prices_above(prices: ModelPrice, tokens: int) -> dict[str, str | None]:
    """All of them, for prompts of more tokens than that; output without a price costs nothing."""
    found = {name: _at(getattr(prices, unit), tokens) for name, unit in _UNITS.items()}
    found["output_price"] = found["output_price"] or Decimal(0)
    return {name: None if price is None else str(price) for name, price in found.items()}


def _standing_prices(model: ModelInfo, at: datetime) -> ModelPrice:
    """The prices of the day; of prices that change with the hour the dearest, so that it holds at any hour."""
    if isinstance(model.prices, ModelPrice):
        return model.prices
    by_hour: list[ModelPrice] = []
    for row in reversed(model.prices):
        if isinstance(row.constraint, TimeOfDateConstraint):
            by_hour.append(row.prices)
        elif row.constraint is None or row.constraint.active(at):
            return max([row.prices, *by_hour], key=_input_price)
    return model.prices[0].prices


def _input_price(prices: ModelPrice) -> Decimal:
    return _at(prices.input_mtok, 0) or Decimal(0)


def _at(value: Decimal | TieredPrices | None, tokens: int) -> Decimal | None:
    """Of prompts of more tokens than that. A tier begins behind its start, and holds for all tokens of a request."""
    if not isinstance(value, TieredPrices):
        return value
    return next((tier.price for tier in reversed(value.tiers) if tier.start <= tokens), value.base)


if __name__ == "__main__":
    questions = orjson.loads(sys.stdin.buffer.read())
    now = datetime.now(UTC)
    sys.stdout.buffer.write(orjson.dumps([answer(vendor, model, now) for vendor, model in questions]))
