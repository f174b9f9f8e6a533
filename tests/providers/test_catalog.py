"""The price catalogue, asked offline."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

from providers import catalog, pricebook


def test_known_models_have_a_price():
    price = catalog.find_price("openai", "gpt-4o-mini")
    assert price is not None
    assert 0 < price.input < price.output < Decimal(10)
    assert price.cached_input is not None
    assert price.cached_input < price.input
    assert price.context_tokens == 128_000


def test_a_dated_name_is_recognised():
    assert catalog.find_price("openai", "gpt-4o-mini-2024-07-18") == catalog.find_price("openai", "gpt-4o-mini")


def test_nothing_is_made_up():
    assert catalog.find_price("openai", "no-such-model") is None
    assert catalog.find_price("custom", "gpt-4o-mini") is None
    assert catalog.find_price("no-such-preset", "gpt-4o-mini") is None


def test_long_prompts_that_cost_more_are_told():
    price = catalog.find_price("anthropic", "claude-sonnet-4-5")
    assert price is not None
    assert (price.input, price.output, price.kinds["cache_write_price"]) == (3, 15, Decimal("3.75"))
    assert price.tiers == [
        {
            "above_tokens": 200_000, "input_price": "6", "output_price": "22.5", "cached_input_price": "0.6",
            "cache_write_price": "7.5",
        }
    ]  # fmt: skip


def test_a_price_that_changes_with_the_hour_is_the_dearest_of_the_day():
    [model] = [
        model
        for provider in pricebook.providers
        if provider.id == "deepseek"
        for model in provider.models
        if model.id == "deepseek-chat"
    ]
    dearest = max(pricebook._input_price(row.prices) for row in model.prices)
    price = catalog.find_price("deepseek", "deepseek-chat")
    assert price is not None
    assert price.input == dearest


def test_many_questions_are_one_process(monkeypatch):
    catalog.forget()
    started, run = [], subprocess.run

    def counted(*args, **kwargs):
        started.append(args)
        return run(*args, **kwargs)

    monkeypatch.setattr(subprocess, "run", counted)
    catalog.find_prices("openai", ["gpt-4o-mini", "gpt-4o", "nope"])
    catalog.find_prices("openai", ["gpt-4o", "nope"])
    assert len(started) == 1


def test_a_catalogue_that_cannot_be_read_knows_nothing(monkeypatch):
    catalog.forget()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert catalog.find_price("openai", "gpt-4o-mini") is None
    monkeypatch.undo()
    assert catalog.find_price("openai", "gpt-4o-mini") is not None


def test_suggestions_leave_out_what_the_gateway_does_not_serve():
    listed = ["gpt-4o-mini", "whisper-1", "text-embedding-3-small", "dall-e-3", "tts-1", "omni-moderation-latest"]
    suggested = catalog.suggest_models("openai", listed)
    assert [(model.model_id, model.kind) for model in suggested] == [
        ("gpt-4o-mini", "chat"),
        ("text-embedding-3-small", "embedding"),
        ("dall-e-3", "image"),
        ("omni-moderation-latest", "moderation"),
    ]
    assert all(model.price for model in suggested if model.kind in ("chat", "embedding"))


def test_suggestions_drop_the_vendor_s_prefix_from_the_public_name():
    [gemini] = catalog.suggest_models("gemini", ["models/gemini-2.5-pro"])
    assert (gemini.model_id, gemini.upstream_id) == ("gemini-2.5-pro", "models/gemini-2.5-pro")
    assert gemini.price is not None
    [fireworks] = catalog.suggest_models("fireworks", ["accounts/fireworks/models/deepseek-v4-flash"])
    assert fireworks.model_id == "deepseek-v4-flash"
    assert fireworks.price is not None
