"""Machines as a person describes them; `nodes.wishes` decides what is allowed."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.utils.translation import gettext_lazy as _

from console import words
from console.forms.base import ConsoleForm, Lines
from nodes.enrolment import MOST_MACHINES, SINGLE_TTL_S
from nodes.models import COMMUNITY, MODES, MOST_CONCURRENT, PRIVATE, SHARED, Node
from nodes.wishes import LONGEST_NAME, LONGEST_QUIET_MINUTES, MOST_PRIORITY

ONE, FLEET = "one", "fleet"
HOUR_S, DAY_S = 3600, 24 * 3600
TTL_CHOICES = (
    (str(SINGLE_TTL_S), _("15 minutes")),
    (str(HOUR_S), _("1 hour")),
    (str(DAY_S), _("1 day")),
    (str(7 * DAY_S), _("7 days")),
    (str(30 * DAY_S), _("30 days")),
)
VISIBILITY_CHOICES = (
    (PRIVATE, _("Private: only this organisation")),
    (SHARED, _("Shared: organisations that you name")),
    (COMMUNITY, _("Community: any organisation that uses community machines")),
)
MODE_CHOICES = (
    ("always", _("Always on: whenever its model server is there")),
    ("idle", _("Idle time: only while nobody uses the machine")),
    ("manual", _("Manual: after “shareai-node resume” on the machine")),
)


class TokenForm(ConsoleForm):
    """For one machine, or for a fleet; the two fields below count for a fleet only."""

    renames = {"ttl_s": "ttl"}

    size = forms.ChoiceField(choices=((ONE, ONE), (FLEET, FLEET)), initial=ONE)
    count = forms.IntegerField(label=_("Machines"), min_value=1, max_value=MOST_MACHINES, initial=10)
    ttl = forms.ChoiceField(label=_("Valid for"), choices=TTL_CHOICES, initial=str(DAY_S))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("size") == ONE:
            for name in ("count", "ttl"):
                self.errors.pop(name, None)
        return cleaned

    def wanted(self) -> dict[str, int]:
        """The arguments of `nodes.enrolment.create_token`."""
        if self.cleaned_data["size"] == ONE:
            return {"count": 1, "ttl_s": SINGLE_TTL_S}
        return {"count": self.cleaned_data["count"], "ttl_s": int(self.cleaned_data["ttl"])}


class FilterForm(ConsoleForm):
    """As it stands in the URL of the list."""

    q = forms.CharField(required=False, max_length=100)
    status = forms.ChoiceField(label=_("Status"), required=False, widget=forms.Select({"class": "control"}))
    os = forms.ChoiceField(label=_("System"), required=False, widget=forms.Select({"class": "control"}))
    mode = forms.ChoiceField(label=_("Mode"), required=False, widget=forms.Select({"class": "control"}))
    tag = forms.ChoiceField(label=_("Tag"), required=False, widget=forms.Select({"class": "control"}))
    token = forms.CharField(required=False, max_length=40)

    def __init__(self, *args: Any, statuses: tuple[str, ...], tags: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = [(code, words.machine_status(code)) for code in statuses]
        self.offer("status", [("", _("Any status")), *named])
        self.offer("os", [("", _("Any system")), *words.SYSTEMS.items()])
        self.offer("mode", [("", _("Any mode")), *((code, words.mode(code)) for code in MODES)])
        asked = self.data.get("tag", "")
        tags = sorted({*tags, *([asked] if asked else [])})
        self.offer("tag", [("", _("Any tag")), *((tag, tag) for tag in tags)])

    def said(self) -> dict[str, str]:
        """What is not understood is as good as not said."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}


class NodeForm(ConsoleForm):
    renames = {"gpu_below": "gpu_percent"}

    name = forms.CharField(label=_("Name"), max_length=LONGEST_NAME, widget=forms.TextInput({"autocomplete": "off"}))
    tags = Lines(
        label=_("Tags"),
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("For finding and grouping, separated by commas: office, gpu-24gb."),
    )
    max_concurrent = forms.IntegerField(
        label=_("Requests at a time"),
        min_value=1,
        max_value=MOST_CONCURRENT,
        help_text=_("More wait in line; other organisations' wait elsewhere."),
    )
    priority = forms.IntegerField(
        label=_("Priority"), min_value=1, max_value=MOST_PRIORITY, help_text=_("Lower is tried first.")
    )
    advertise_new = forms.BooleanField(
        label=_("Offer models found later"),
        required=False,
        help_text=_("Never one that a provider of yours serves under the same name: tick that yourself."),
    )
    mode = forms.ChoiceField(
        label=_("When it serves"), choices=MODE_CHOICES, widget=forms.RadioSelect({"class": "radio radio-sm"})
    )
    quiet_minutes = forms.IntegerField(
        label=_("Minutes without keyboard or mouse"), min_value=1, max_value=LONGEST_QUIET_MINUTES
    )
    gpu_percent = forms.IntegerField(label=_("GPU below (%)"), min_value=1, max_value=100)
    time_zone = forms.ChoiceField(
        label=_("Time zone of the machine"),
        choices=[(zone, zone.replace("_", " ")) for zone in sorted(available_timezones())],
    )
    visibility = forms.ChoiceField(
        label=_("Who may use it"),
        choices=VISIBILITY_CHOICES,
        widget=forms.RadioSelect({"class": "radio radio-sm"}),
    )
    shared_with = Lines(
        label=_("Organisations"),
        help_text=_("Their short names, one per line. They see its models under its full name only."),
    )

    def wanted(self) -> dict[str, Any]:
        """For `nodes.services.update_node`, without the calendar."""
        said = dict(self.cleaned_data)
        said["gpu_below"] = said.pop("gpu_percent") / 100
        return said


def initial_of(node: Node) -> dict[str, Any]:
    same = (
        "name", "max_concurrent", "priority", "advertise_new", "mode", "quiet_minutes", "time_zone", "visibility",
    )  # fmt: skip
    return {name: getattr(node, name) for name in same} | {
        "tags": ", ".join(node.tags),
        "gpu_percent": round(node.gpu_below * 100),
        "shared_with": "\n".join(sorted(share.guest.slug for share in node.shares.select_related("guest"))),
    }
