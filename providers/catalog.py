"""What is known about vendors' models without asking them: prices and context windows, offline.

The figures come from the `genai-prices` package as installed. They are a start: a price that a person entered
wins, and `sync_prices` touches only rows whose price came from here.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_UP, Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from providers.presets import PRESETS, Preset
from providers.tiers import KIND_PRICES, TIER_PRICES, PriceTier, tier_of

logger = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parent.parent
_TIMEOUT_S = 60
_MOST_REMEMBERED = 4096
_PRICE_STEP = Decimal("0.000001")
_REQUEST_STEP = Decimal("0.000000001")

_KIND_WORDS = {
    "rerank": ("rerank",),
    "embedding": ("embed", "bge-", "e5-", "gte-"),
    "moderation": ("moderation",),
    "image": ("dall-e", "gpt-image", "imagen"),
}
_OTHER_WORDS = (
    "whisper", "tts", "transcribe", "speech", "audio", "image", "flux", "sora", "veo",
    "realtime", "ocr", "guard", "video",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CatalogPrice:
    """USD per million tokens, and per request; `tiers` are what long prompts cost, as rows keep them."""

    model: str
    input: Decimal
    cached_input: Decimal | None
    output: Decimal
    request: Decimal
    kinds: Mapping[str, Decimal | None]
    tiers: Sequence[PriceTier]
    context_tokens: int | None

    def figures(self) -> dict[str, Any]:
        """By the columns of a served model."""
        return {
            "input_price": self.input,
            "cached_input_price": self.cached_input,
            "output_price": self.output,
            "request_price": self.request,
            **self.kinds,
            "price_tiers": [dict(tier) for tier in self.tiers],
        }

    def sold_with(self, margin_percent: float) -> CatalogPrice:
        """What is asked for it where so much comes on top of what the provider takes."""
        if not margin_percent:
            return self
        factor = 1 + Decimal(str(margin_percent)) / 100

        def dearer(price: Decimal, step: Decimal = _PRICE_STEP) -> Decimal:
            return (price * factor).quantize(step, ROUND_UP)

        def any_dearer(price: Decimal | None) -> Decimal | None:
            return None if price is None else dearer(price)

        return replace(
            self,
            input=dearer(self.input),
            cached_input=any_dearer(self.cached_input),
            output=dearer(self.output),
            request=dearer(self.request, _REQUEST_STEP),
            kinds={name: any_dearer(price) for name, price in self.kinds.items()},
            tiers=[
                tier_of(tier["above_tokens"], {n: dearer(Decimal(tier[n])) for n in TIER_PRICES if n in tier})
                for tier in self.tiers
            ],
        )


@dataclass(frozen=True, slots=True)
class SuggestedModel:
    """A model as a vendor lists it, with the name and the kind under which to offer it."""

    model_id: str
    upstream_id: str
    kind: str
    price: CatalogPrice | None


_remembered: dict[tuple[str, str], CatalogPrice | None] = {}


def find_price(preset_id: str, model_id: str) -> CatalogPrice | None:
    return find_prices(preset_id, [model_id])[0]


def find_prices(preset_id: str, model_ids: Sequence[str]) -> list[CatalogPrice | None]:
    """One answer per model id, None where the catalogue knows nothing.

    Args:
        model_ids: names as the vendor uses them.

    Fails: open; a catalogue that cannot be read knows nothing, which the log tells.
    """
    preset = PRESETS.get(preset_id)
    if preset is None or not preset.prices:
        return [None] * len(model_ids)
    asked = [_names(preset, model_id) for model_id in model_ids]
    _remember([name for name in dict.fromkeys(chain.from_iterable(asked)) if name not in _remembered])
    return [next((price for name in names if (price := _remembered.get(name))), None) for names in asked]


def _names(preset: Preset, model_id: str) -> list[tuple[str, str]]:
    """The catalogue knows some models with the vendor's prefix and some without."""
    return [(preset.prices, name) for name in dict.fromkeys([model_id, public_name(preset, model_id)])]


def forget() -> None:
    """Drops what was read, so that a newly installed catalogue is seen."""
    _remembered.clear()


def suggest_models(preset_id: str, listed_ids: Iterable[str]) -> tuple[SuggestedModel, ...]:
    """Which of a vendor's listed models to offer, under which names, in the vendor's order."""
    preset = PRESETS[preset_id]
    listed = [model_id for model_id in listed_ids if kind_of(model_id) is not None]
    prices = find_prices(preset_id, listed)
    return tuple(
        SuggestedModel(public_name(preset, upstream_id), upstream_id, kind_of(upstream_id) or "chat", price)
        for upstream_id, price in zip(listed, prices, strict=True)
    )


def kind_of(model_id: str) -> str | None:
    """One of `providers.endpoints.KINDS` by the name, None for what the gateway does not serve (videos, …)."""
    lowered = model_id.lower()
    for kind, words in _KIND_WORDS.items():
        if any(word in lowered for word in words):
            return kind
    return None if any(word in lowered for word in _OTHER_WORDS) else "chat"


def public_name(preset: Preset, upstream_id: str) -> str:
    return upstream_id.removeprefix(preset.model_prefix)


def _remember(questions: Sequence[tuple[str, str]]) -> None:
    if not questions:
        return
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "providers.pricebook"],
            input=orjson.dumps(questions),
            capture_output=True,
            cwd=_ROOT,
            timeout=_TIMEOUT_S,
            check=True,
        )
        answers = orjson.loads(finished.stdout)
    except (OSError, subprocess.SubprocessError, orjson.JSONDecodeError):
        logger.exception("could not read the price catalogue")
        return
    if len(_remembered) > _MOST_REMEMBERED:
        _remembered.clear()
    _remembered.update(zip(questions, map(_price, answers), strict=True))


def _price(answer: dict[str, Any] | None) -> CatalogPrice | None:
    if answer is None:
        return None
    context = answer["context_tokens"]
    return CatalogPrice(
        model=str(answer["model"]),
        input=_usd(answer["input_price"]) or Decimal(0),
        cached_input=_usd(answer["cached_input_price"]),
        output=_usd(answer["output_price"]) or Decimal(0),
        request=Decimal(str(answer["request"])).quantize(_REQUEST_STEP),
        kinds={name: _usd(answer[name]) for name in KIND_PRICES},
        tiers=[_tier(told) for told in answer["tiers"]],
        context_tokens=context if isinstance(context, int) else None,
    )


def _tier(told: dict[str, Any]) -> PriceTier:
    return tier_of(told["above_tokens"], {name: _usd(told[name]) for name in TIER_PRICES})


def _usd(told: str | None) -> Decimal | None:
    return None if told is None else Decimal(told).quantize(_PRICE_STEP)
