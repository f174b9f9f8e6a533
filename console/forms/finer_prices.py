"""Prices of kinds of tokens, and tiers of long prompts: a part of the forms that price a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from common.errors import CodedError
from common.numbers import plain
from console.forms.base import ConsoleForm
from providers.models import ServedModel
from providers.tiers import KIND_PRICES, MOST_TIERS

TIER_LABELS = {
    "above_tokens": _("Above so many tokens"),
    "input_price": _("Input"),
    "output_price": _("Output"),
    "cached_input_price": _("Cached input"),
    "cache_write_price": _("Cache write"),
    "audio_input_price": _("Audio input"),
    "reasoning_price": _("Reasoning"),
    "audio_output_price": _("Audio output"),
}
_ROW = re.compile(r"tier-(\d)-[a-z_]+")
_TIER = re.compile(r"price_tiers\.(\d+)\.([a-z_]+)")
_AS_INPUT, _AS_OUTPUT = _("Empty: as other input."), _("Empty: as other output.")


class FinerPriceForm(ConsoleForm):
    """Offers one row more than there are tiers; a row with nothing in it is none."""

    cache_write_price = forms.CharField(label=_("Cache write"), required=False, help_text=_AS_INPUT)
    audio_input_price = forms.CharField(label=_("Audio input"), required=False, help_text=_AS_INPUT)
    reasoning_price = forms.CharField(label=_("Reasoning"), required=False, help_text=_AS_OUTPUT)
    audio_output_price = forms.CharField(label=_("Audio output"), required=False, help_text=_AS_OUTPUT)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tiers = self.initial.get("price_tiers", [])
        sent = [int(row[1]) + 1 for name in self.data if (row := _ROW.fullmatch(name))]
        self._shown = min(MOST_TIERS, max([len(tiers) + 1, *sent]))
        self._filled: list[int] = []
        for number in range(self._shown):
            tier = tiers[number] if number < len(tiers) else {}
            for name, label in TIER_LABELS.items():
                self.fields[f"tier-{number}-{name}"] = _cell(label, number, tier.get(name, ""))

    def tier_rows(self) -> Sequence[Sequence[forms.BoundField]]:
        return [[self[f"tier-{number}-{name}"] for name in TIER_LABELS] for number in range(self._shown)]

    def tier_heads(self) -> Sequence[Any]:
        return list(TIER_LABELS.values())

    def is_finer(self) -> bool:
        """Whether there is something to see: a price of its own, or a mistake."""
        shown = [*KIND_PRICES, *(name for name in self.fields if _ROW.fullmatch(name))]
        return any(self[name].value() or self[name].errors for name in shown)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        rows = [
            {name: cleaned.pop(f"tier-{number}-{name}", "") for name in TIER_LABELS} for number in range(self._shown)
        ]
        self._filled = [number for number, row in enumerate(rows) if any(row.values())]
        cleaned["price_tiers"] = [rows[number] for number in self._filled]
        return cleaned

    def absorb(self, refusal: CodedError) -> None:
        told = _TIER.fullmatch(refusal.param or "")
        if told and int(told[1]) < len(self._filled):
            self.add_error(f"tier-{self._filled[int(told[1])]}-{told[2]}", refusal.message)
        else:
            super().absorb(refusal)


def initial_of_finer(model: ServedModel) -> dict[str, Any]:
    prices = {name: getattr(model, name) for name in KIND_PRICES}
    said = {name: "" if price is None else plain(price) for name, price in prices.items()}
    return said | {"price_tiers": model.price_tiers}


def _cell(label: Any, number: int, value: object) -> forms.CharField:
    widget = forms.TextInput({"class": "control control-sm price-input", "inputmode": "decimal", "aria-label": label})
    return forms.CharField(label=label, required=False, max_length=20, initial=value, widget=widget)
