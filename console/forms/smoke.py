"""Which checks to run, and with what."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm
from console.smoke.report import CHECKS
from console.smoke.runs import LONGEST_PROMPT


class SmokeForm(ConsoleForm):
    route = forms.ChoiceField(
        label=_("Route"),
        required=False,
        help_text=_("Every check keeps to it. Without one they ask all routes, and choose one where one will do."),
    )
    prompt = forms.CharField(
        label=_("Prompt to compare"),
        required=False,
        max_length=LONGEST_PROMPT,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Asked of every route by the third check. A short one of our own, if you leave this empty."),
    )
    checks = forms.MultipleChoiceField(choices=[(name, name) for name in CHECKS], required=False)

    def __init__(self, *args: Any, names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("route", [("", _("all, or whichever will do")), *((name, name) for name in names)])
