"""An organisation's name and settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from console.forms.base import ConsoleForm

STRATEGY_CHOICES = (
    ("priority", _("In order of priority")),
    ("cheapest", _("Cheapest first")),
    ("fastest", _("Fastest first")),
    ("weighted", _("By weight")),
    ("least_busy", _("Least busy first")),
    ("round_robin", _("In turn")),
)


class OrganizationForm(ConsoleForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=120,
        help_text=_("Your company, team or project."),
        widget=forms.TextInput(attrs={"autocomplete": "organization", "autofocus": True}),
    )


class SettingsForm(ConsoleForm):
    name = forms.CharField(label=_("Name"), max_length=120)
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        help_text=_("In which times are shown. Budgets and reports by day count days in UTC."),
        choices=[(zone, zone.replace("_", " ")) for zone in sorted(available_timezones())],
    )
    default_strategy = forms.ChoiceField(
        label=_("Default strategy"),
        help_text=_("How a target is chosen when several serve a model and no route says otherwise."),
        choices=STRATEGY_CHOICES,
    )
    retention_days = forms.IntegerField(
        label=_("Keep logs for (days)"), min_value=1, max_value=400, help_text=_("Sums in reports stay for good.")
    )
    log_content = forms.BooleanField(
        label=_("Keep prompts and answers"),
        required=False,
        help_text=_(
            "Sealed, for owners, admins and auditors to read in the logs; each reading is in the audit log. Not of "
            "private routes, of keys that are set so, or of requests with Cache-Control: no-store or store: false."
        ),
    )
    content_days = forms.IntegerField(
        label=_("Keep prompts and answers for (days)"),
        min_value=1,
        max_value=400,
        initial=7,
        help_text=_("Never longer than the logs."),
    )
    uses_community_nodes = forms.BooleanField(
        label=_("Use machines of the community"),
        required=False,
        help_text=_(
            "Requests may go to strangers' machines that serve the model. Whoever owns a machine can read what it is "
            "asked: leave this off for what is confidential. Private routes never go there."
        ),
    )


class DeleteForm(ConsoleForm):
    typed_name = forms.CharField(
        label=_("Type the organisation's name"), widget=forms.TextInput({"autocomplete": "off"})
    )


class TransferForm(DeleteForm):
    field_order = ("to", "typed_name")

    to = forms.ChoiceField(label=_("New owner"))

    def __init__(self, *args: Any, heirs: Iterable[Membership], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("to", [(str(heir.pk), f"{heir.user.get_full_name()} · {heir.user.email}") for heir in heirs])
