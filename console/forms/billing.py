"""How much to buy."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.topups import LEAST_CENTS, MOST_CENTS
from console.forms.base import ConsoleForm


class TopUpForm(ConsoleForm):
    amount_usd = forms.DecimalField(
        label=_("Amount in US dollars"),
        min_value=LEAST_CENTS // 100,
        max_value=MOST_CENTS // 100,
        decimal_places=2,
        initial=25,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "0.01"}),
    )
