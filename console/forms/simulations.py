"""Which draft is simulated, and on whose requests."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm

OWN, EVERY = "own", "every"
TRAFFIC_CHOICES = ((OWN, _("those to the same name")), (EVERY, _("all of the organisation")))


class SimulationForm(ConsoleForm):
    name = forms.ChoiceField(label=_("Draft"))
    traffic = forms.ChoiceField(label=_("Requests of the last 24 hours"), choices=TRAFFIC_CHOICES, initial=OWN)

    def __init__(self, *args: Any, drafts: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("name", [(name, name) for name in drafts])

    def wanted_traffic(self) -> str | None:
        """As `routing.simulations.start_simulation` takes it."""
        return None if self.cleaned_data["traffic"] == OWN else ""
