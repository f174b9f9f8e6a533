"""An API key as a person describes it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.authentication import INFERENCE, MANAGE
from accounts.models import ApiKey
from console.forms.base import ConsoleForm, Lines

SCOPE_CHOICES = (
    (INFERENCE, _("Call models (/v1)")),
    (MANAGE, _("Manage this organisation (/api/v1)")),
)
_NEVER, _OTHER = "never", "date"
EXPIRY_CHOICES = (
    (_NEVER, _("Never")),
    ("7", _("In 7 days")),
    ("30", _("In 30 days")),
    ("90", _("In 90 days")),
    ("365", _("In a year")),
    (_OTHER, _("On a day of your choice")),
)
OVERLAP_CHOICES = (
    ("0", _("None: the old key ends now")),
    ("3600", _("1 hour")),
    ("86400", _("1 day")),
    ("604800", _("7 days")),
    ("2592000", _("30 days")),
)


class KeyForm(ConsoleForm):
    renames = {"expires_at": "expires_on"}

    name = forms.CharField(
        label=_("Name"),
        max_length=80,
        help_text=_("Where it will be used, such as “billing service, staging”."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    scopes = forms.MultipleChoiceField(
        label=_("May"),
        choices=SCOPE_CHOICES,
        initial=[INFERENCE],
        widget=forms.CheckboxSelectMultiple({"class": "checkbox checkbox-sm"}),
    )
    allowed_models = Lines(
        label=_("Only these models"), help_text=_("One per line. Empty means every model of the organisation.")
    )
    expires = forms.ChoiceField(label=_("Expires"), choices=EXPIRY_CHOICES, initial=_NEVER)
    expires_on = forms.DateField(
        label=_("Last day"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    ip_allow = Lines(
        label=_("Only from these addresses"),
        help_text=_("One address or network per line, such as 10.0.0.0/8. Empty means from anywhere."),
    )
    tags = Lines(
        label=_("Tags"),
        rows=2,
        help_text=_("One per line. Rules of routes can treat the requests of tagged keys apart."),
    )

    never_kept = forms.BooleanField(
        label=_("Never keep prompts and answers"),
        required=False,
        help_text=_("Even when the organisation keeps them."),
    )

    def __init__(self, *args: Any, may_manage: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scopes"].widget.attrs["class"] = "checkbox"
        if not may_manage:
            self.offer("scopes", SCOPE_CHOICES[:1])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("expires") == _OTHER and not cleaned.get("expires_on") and "expires_on" not in self.errors:
            self.add_error("expires_on", _("Choose the day."))
        return cleaned

    def wanted(self) -> dict[str, Any]:
        """The arguments of `accounts.keys.create_key` and `update_key`."""
        return {
            "name": self.cleaned_data["name"],
            "scopes": self.cleaned_data["scopes"],
            "allowed_models": self.cleaned_data["allowed_models"] or None,
            "ip_allow": self.cleaned_data["ip_allow"],
            "tags": self.cleaned_data["tags"],
            "logs_content": not self.cleaned_data["never_kept"],
            "expires_at": self._expires_at(),
        }

    def _expires_at(self) -> datetime | None:
        choice = self.cleaned_data["expires"]
        if choice == _NEVER:
            return None
        if choice == _OTHER:
            midnight = datetime.combine(self.cleaned_data["expires_on"], datetime.min.time())
            return timezone.make_aware(midnight) + timedelta(days=1)
        return timezone.now() + timedelta(days=int(choice))


def initial_of(key: ApiKey) -> dict[str, Any]:
    """What the form shows of a key that exists."""
    last_day = timezone.localdate(key.expires_at - timedelta(seconds=1)) if key.expires_at else None
    return {
        "name": key.name,
        "scopes": key.scopes,
        "allowed_models": "\n".join(key.allowed_models or []),
        "ip_allow": "\n".join(key.ip_allow),
        "tags": "\n".join(key.tags),
        "never_kept": not key.logs_content,
        "expires": _OTHER if last_day else _NEVER,
        "expires_on": last_day,
    }


class RotateForm(ConsoleForm):
    overlap_s = forms.TypedChoiceField(
        label=_("The old key keeps working for"), choices=OVERLAP_CHOICES, initial="86400", coerce=int
    )
