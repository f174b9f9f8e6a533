"""Which target counts as down, and for how long."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm

SECONDS_CHOICES = (
    ("30", _("30 seconds")),
    ("60", _("1 minute")),
    ("300", _("5 minutes")),
    ("900", _("15 minutes")),
    ("3600", _("1 hour")),
)


class DrillForm(ConsoleForm):
    target = forms.ChoiceField(label=_("Let this be down"))
    seconds = forms.TypedChoiceField(label=_("For"), choices=SECONDS_CHOICES, initial="60", coerce=int)

    def __init__(self, *args: Any, names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("target", [(name, name) for name in names])
