"""The filters of the log, as they stand in the URL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm
from metering.prompts import Prompt
from metering.queries import RequestFilters

RANGES = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
}
RANGE_CHOICES = (
    ("", _("Any time")),
    ("15m", _("Last 15 minutes")),
    ("1h", _("Last hour")),
    ("24h", _("Last 24 hours")),
    ("7d", _("Last 7 days")),
)
STATUS_CHOICES = (
    ("", _("Any outcome")),
    ("2", _("Succeeded")),
    ("error", _("Any error")),
    ("4", _("Refused (4xx)")),
    ("5", _("Failed (5xx)")),
)
SLOW_CHOICES = (
    ("", _("However long")),
    ("1000", _("1 s and more")),
    ("5000", _("5 s and more")),
    ("30000", _("30 s and more")),
)
STREAM_CHOICES = (("", _("Streamed or not")), ("yes", _("Streamed")), ("no", _("Not streamed")))
_SMALL = {"class": "control"}
_LARGEST_ID = 2**63 - 1


class LogFilterForm(ConsoleForm):
    request_id = forms.CharField(label=_("Request id"), required=False, max_length=60)
    model = forms.ChoiceField(label=_("Model"), required=False, widget=forms.Select(_SMALL))
    status = forms.ChoiceField(
        label=_("Outcome"), choices=STATUS_CHOICES, required=False, widget=forms.Select(_SMALL)
    )
    key = forms.ChoiceField(label=_("Key"), required=False, widget=forms.Select(_SMALL))
    target = forms.CharField(label=_("Target"), required=False, max_length=260, widget=forms.HiddenInput)
    route = forms.CharField(label=_("Route"), required=False, max_length=200, widget=forms.HiddenInput)
    node = forms.CharField(label=_("Machine"), required=False, max_length=80, widget=forms.HiddenInput)
    member = forms.IntegerField(
        label=_("Member"), required=False, min_value=1, max_value=_LARGEST_ID, widget=forms.HiddenInput
    )
    prompt = forms.RegexField(
        r"^[0-9a-f]{16}$", label=_("Prompt"), required=False, widget=forms.HiddenInput, strip=False
    )
    since = forms.DateTimeField(label=_("From"), required=False, widget=forms.HiddenInput)
    until = forms.DateTimeField(label=_("To"), required=False, widget=forms.HiddenInput)
    stream = forms.ChoiceField(
        label=_("Streaming"), choices=STREAM_CHOICES, required=False, widget=forms.Select(_SMALL)
    )
    slow = forms.ChoiceField(label=_("Took"), choices=SLOW_CHOICES, required=False, widget=forms.Select(_SMALL))
    error = forms.CharField(label=_("Error"), required=False, max_length=40, widget=forms.HiddenInput)
    range = forms.ChoiceField(label=_("When"), choices=RANGE_CHOICES, required=False, widget=forms.Select(_SMALL))

    def __init__(self, *args: Any, keys: list[tuple[int, str]], models: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        asked = self.data.get("model", "")
        names = dict.fromkeys([*models, *([asked] if asked else [])])
        self.offer("model", [("", _("Any model")), *((name, name) for name in names)])
        self.offer("key", [("", _("Any key")), *((str(pk), name) for pk, name in keys)])

    def filters(self) -> RequestFilters:
        said = self.cleaned_data
        span = RANGES.get(said["range"])
        return RequestFilters(
            model=said["model"] or None,
            target=said["target"].strip() or None,
            route=said["route"] or None,
            node=said["node"] or None,
            user_id=said["member"],
            prompt_hash=Prompt.hash_of(said["prompt"]) if said["prompt"] else None,
            key_id=int(said["key"]) if said["key"] else None,
            status_class=int(said["status"]) if said["status"].isdecimal() else None,
            is_error=True if said["status"] == "error" else None,
            stream={"yes": True, "no": False}.get(said["stream"]),
            from_=timezone.now() - span if span else said["since"],
            to=said["until"],
            request_id=said["request_id"].strip() or None,
            min_duration_ms=int(said["slow"]) if said["slow"] else None,
            error_code=said["error"] or None,
        )

    def is_narrowed(self) -> bool:
        return any(self.data.get(name) for name in self.fields)
