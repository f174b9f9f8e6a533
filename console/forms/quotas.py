"""Limits and budgets as a person describes them: empty is no limit."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.budgets import read as read_budgets
from accounts.errors import InvalidField
from accounts.limits import KINDS, Figures
from accounts.scopes import BLOCK, DAILY, LIFETIME, MONTHLY, OWN_NODES, TOKENS, USD, WARN, WEEKLY
from console.forms.base import ConsoleForm

POLICIES = (
    (BLOCK, _("Refuse the request (402), and say what is left and when it begins anew")),
    (OWN_NODES, _("Serve it by your own machines only, which cost nothing")),
    (WARN, _("Serve it all the same, count on, and warn")),
)


def _whole(label: Any, help_text: Any = "") -> forms.CharField:
    attrs = {"inputmode": "numeric", "autocomplete": "off"}
    return forms.CharField(label=label, help_text=help_text, required=False, widget=forms.TextInput(attrs=attrs))


def _usd(label: Any) -> forms.CharField:
    attrs = {"inputmode": "decimal", "autocomplete": "off", "placeholder": "25.00"}
    return forms.CharField(label=label, required=False, widget=forms.TextInput(attrs=attrs))


class QuotaForm(ConsoleForm):
    rpm = _whole(_("Requests per minute"))
    tpm = _whole(_("Tokens per minute"), _("In and out."))
    concurrency = _whole(_("Requests at a time"))
    rpd = _whole(_("Requests per day"))
    tpd = _whole(_("Tokens per day, sliding"))
    daily_usd = _usd(_("US dollars a day"))
    weekly_usd = _usd(_("US dollars a week"))
    monthly_usd = _usd(_("US dollars a month"))
    lifetime_usd = _usd(_("US dollars in all"))
    daily_tokens = _whole(_("Tokens a day"))
    weekly_tokens = _whole(_("Tokens a week"))
    monthly_tokens = _whole(_("Tokens a month"))
    lifetime_tokens = _whole(_("Tokens in all"))
    when_reached = forms.ChoiceField(
        label=_("What happens when a budget does not cover a request"),
        choices=POLICIES,
        initial=BLOCK,
        widget=forms.RadioSelect({"class": "radio radio-sm"}),
    )

    def __init__(self, *args: Any, figures: Figures, has_budgets: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, initial=_initial(figures), **kwargs)
        self.has_budgets = has_budgets
        if not has_budgets:
            for name in [name for name in self.fields if name not in KINDS]:
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = self.cleaned_data
        for name, text in list(said.items()):
            if name == "when_reached" or not text:
                continue
            bare = text.strip().replace(",", "").replace("_", "").removeprefix("$").strip()
            if name.endswith("_usd"):
                said[name] = bare
                self._check_usd(name, bare)
            elif bare.isascii() and bare.isdigit() and int(bare) > 0:
                said[name] = int(bare)
            else:
                self.add_error(name, _("A whole number above zero, or nothing for no limit."))
        return said

    def _check_usd(self, name: str, amount: str) -> None:
        try:
            read_budgets([{"amount_usd": amount, "window": MONTHLY}])
        except InvalidField as refusal:
            self.add_error(name, refusal.message)

    def wanted(self) -> Figures:
        """The wishes of `accounts.limits.set_limits`."""
        said = self.cleaned_data
        budgets: list[dict[str, Any]] = []
        rates = {kind: said[kind] or None for kind in KINDS}
        if not self.has_budgets:
            return rates
        for window in (DAILY, WEEKLY, MONTHLY, LIFETIME):
            if said[f"{window}_{USD}"]:
                budgets.append({"amount_usd": said[f"{window}_{USD}"], "window": window})
            if said[f"{window}_{TOKENS}"]:
                budgets.append({"tokens": said[f"{window}_{TOKENS}"], "window": window})
        return {
            **rates,
            "budgets": budgets,
            "when_reached": said["when_reached"],
        }


def _initial(figures: Figures) -> dict[str, Any]:
    amounts = {
        f"{entry['window']}_{USD if 'amount_usd' in entry else TOKENS}": entry.get("amount_usd")
        or entry.get("tokens")
        for entry in figures["budgets"]
    }
    return {**{kind: figures[kind] for kind in KINDS}, **amounts, "when_reached": figures["when_reached"]}
