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

_BY_ID = {provider.id: provider for provider in providers}


def answer(vendor: str, model: str, at: datetime) -> dict[str, Any] | None:
    provider = _BY_ID.get(vendor)
    found = provider.find_model(model, all_providers=providers) if provider else None
    if found is None:
        return None
    prices = _standing_prices(found, at)
    listed = [prices.input_mtok, prices.cache_read_mtok, prices.output_mtok, prices.requests_kcount]
    input_price, cached, output, per_thousand = (_base(value) for value in listed)
    if input_price is None:
        return None
    return {
        "model": found.id,
        "input": str(input_price),
        "cached_input": None if cached is None else str(cached),
        "output": str(output or 0),
        "request": str((per_thousand or Decimal(0)) / 1000),
        "tiered": any(isinstance(value, TieredPrices) for value in listed),
        "context_tokens": found.context_window,
    }


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
    return _base(prices.input_mtok) or Decimal(0)


def _base(value: Decimal | TieredPrices | None) -> Decimal | None:
    return value.base if isinstance(value, TieredPrices) else value


if __name__ == "__main__":
    questions = orjson.loads(sys.stdin.buffer.read())
    now = datetime.now(UTC)
    sys.stdout.buffer.write(orjson.dumps([answer(vendor, model, now) for vendor, model in questions]))
