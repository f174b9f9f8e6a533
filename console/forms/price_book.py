"""What a model of the platform's own connections costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Self

from django import forms
from django.utils.translation import gettext_lazy as _

from common.numbers import plain
from console.forms.finer_prices import FinerPriceForm, initial_of_finer
from providers.models import ServedModel

_PRICES = ("input_price", "cached_input_price", "output_price", "request_price")
_TYPED: dict[str, Any] = {"min_value": 0, "max_digits": 16, "required": False}


class PriceForm(FinerPriceForm):
    """Nothing typed means the catalogue's price again, if it has one.

    `price_version` is of the price that it was typed in sight of.
    """

    renames = {"price_version": ""}

    input_price = forms.DecimalField(label=_("Input"), decimal_places=6, **_TYPED)
    cached_input_price = forms.DecimalField(
        label=_("Cached input"), decimal_places=6, help_text=_("Empty: as other input."), **_TYPED
    )
    output_price = forms.DecimalField(label=_("Output"), decimal_places=6, **_TYPED)
    request_price = forms.DecimalField(label=_("Each request"), decimal_places=9, **_TYPED)
    price_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    @classmethod
    def of(cls, model: ServedModel) -> Self:
        plain = {name: _plain(getattr(model, name)) for name in _PRICES}
        return cls(initial=plain | initial_of_finer(model))


def _plain(price: Decimal | None) -> str:
    return "" if price is None else plain(price)
