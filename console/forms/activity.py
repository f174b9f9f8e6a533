"""What Activity shows, as it stands in the URL; anything unknown falls back to the usual."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm

_SMALL = {"class": "control"}
USUAL = {"range": "7d", "group": "model", "figure": "spend"}


class ActivityForm(ConsoleForm):
    range = forms.ChoiceField(
        label=_("When"),
        choices=(
            ("24h", _("Last 24 hours")),
            ("7d", _("Last 7 days")),
            ("30d", _("Last 30 days")),
            ("90d", _("Last 90 days")),
        ),
        widget=forms.Select(_SMALL),
        initial=USUAL["range"],
    )
    group = forms.ChoiceField(
        label=_("Group by"),
        choices=(
            ("model", _("Model")),
            ("route", _("Route")),
            ("target", _("Target")),
            ("key", _("Key")),
            ("member", _("Member")),
        ),
        widget=forms.Select(_SMALL),
        initial=USUAL["group"],
    )
    figure = forms.ChoiceField(
        label=_("Figure"),
        choices=(
            ("spend", _("Spend")),
            ("requests", _("Requests")),
            ("tokens", _("Output tokens")),
            ("errors", _("Errors")),
        ),
        widget=forms.Select(_SMALL),
        initial=USUAL["figure"],
    )

    def chosen(self) -> dict[str, Any]:
        given = self.data if self.is_bound else {}
        known = {name: self.choices_of(name) for name in self.fields}
        return {name: given.get(name) if given.get(name) in known[name] else usual for name, usual in USUAL.items()}
