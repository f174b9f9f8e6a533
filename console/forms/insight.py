"""What Insight shows, as it stands in the URL; anything unknown falls back to the usual."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm

_SMALL = {"class": "control"}
USUAL = {"window": "7d", "by": "cost"}


class InsightForm(ConsoleForm):
    window = forms.ChoiceField(
        label=_("When"),
        choices=(("24h", _("Last 24 hours")), ("7d", _("Last 7 days")), ("30d", _("Last 30 days"))),
        widget=forms.Select(_SMALL),
        initial=USUAL["window"],
    )
    by = forms.ChoiceField(
        label=_("Prompts"),
        choices=(("cost", _("by cost")), ("repeats", _("by repeats"))),
        widget=forms.Select(_SMALL),
        initial=USUAL["by"],
    )

    def chosen(self) -> dict[str, Any]:
        given = self.data if self.is_bound else {}
        known = {name: self.choices_of(name) for name in self.fields}
        return {name: given.get(name) if given.get(name) in known[name] else usual for name, usual in USUAL.items()}
