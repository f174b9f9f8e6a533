"""What Activity shows, as it stands in the URL; anything unknown falls back to the usual."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm
from console.spans import MOST_DAYS
from metering.reports import Narrowed

_SMALL = {"class": "control"}
USUAL = {"range": "7d", "group": "model", "figure": "spend"}
_EARLIEST, _LATEST = date(2020, 1, 1), date(2100, 1, 1)
_LARGEST = 2**63 - 1
FILTERS = ("model", "route", "target", "node", "key", "member")


class ActivityForm(ConsoleForm):
    range = forms.ChoiceField(
        label=_("When"),
        choices=(
            ("24h", _("Last 24 hours")),
            ("7d", _("Last 7 days")),
            ("30d", _("Last 30 days")),
            ("90d", _("Last 90 days")),
            ("month", _("This month")),
            ("custom", _("From … to …")),
        ),
        widget=forms.Select(_SMALL),
        initial=USUAL["range"],
        required=False,
    )
    start = forms.DateField(label=_("From"), required=False, widget=forms.DateInput({"type": "date", **_SMALL}))
    end = forms.DateField(label=_("To"), required=False, widget=forms.DateInput({"type": "date", **_SMALL}))
    group = forms.ChoiceField(
        label=_("Group by"),
        choices=(
            ("model", _("Model")),
            ("route", _("Route")),
            ("target", _("Target")),
            ("node", _("Machine")),
            ("key", _("Key")),
            ("member", _("Member")),
        ),
        widget=forms.Select(_SMALL),
        initial=USUAL["group"],
        required=False,
    )
    figure = forms.ChoiceField(
        label=_("Figure"),
        choices=(
            ("spend", _("Spend")),
            ("requests", _("Requests")),
            ("tokens", _("Tokens")),
            ("errors", _("Errors")),
            ("saved", _("Saved by the cache")),
        ),
        widget=forms.Select(_SMALL),
        initial=USUAL["figure"],
        required=False,
    )

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if self.data.get("range") != "custom":
            return said
        start, end = said.get("start"), said.get("end")
        for name in ("start", "end"):
            if name not in self.errors and not (said.get(name) and _EARLIEST <= said[name] <= _LATEST):
                self.add_error(name, _("Give a day, such as 2026-11-20."))
        if self.errors or start is None or end is None:
            return said
        if start > end:
            self.add_error("end", _("It must not be before the first day."))
        elif (end - start).days >= MOST_DAYS:
            self.add_error("end", _("At most a year can be shown at once."))
        return said

    def chosen(self) -> dict[str, Any]:
        """Where the days of "from … to …" are wrong, the usual range is shown, and what is wrong with them."""
        given = self.data if self.is_bound else {}
        known = {name: self.choices_of(name) for name in USUAL}
        said = {name: given.get(name) if given.get(name) in known[name] else usual for name, usual in USUAL.items()}
        days = dict.fromkeys(("start", "end"))
        if said["range"] == "custom" and self.is_valid():
            days = {name: self.cleaned_data[name] for name in days}
        elif said["range"] == "custom":
            said["range"] = USUAL["range"]
        return {**said, **days}

    def narrowed(self) -> Narrowed:
        """By the filters in the URL; what is no filter narrows to nothing that there is."""
        said = self.data if self.is_bound else {}
        given = {name: said[name].replace("\0", "") for name in FILTERS if name in said}
        return Narrowed(
            model=given.get("model"),
            route=given.get("route"),
            target=given.get("target"),
            node=given.get("node"),
            key_id=_id(given.get("key")),
            user_id=_id(given.get("member")),
        )


class ExportForm(ConsoleForm):
    format = forms.ChoiceField(
        label=_("Format"), choices=(("csv", "CSV"), ("json", "JSON")), widget=forms.Select(_SMALL)
    )


def _id(text: str | None) -> int | None:
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    return number if number <= _LARGEST else -1
