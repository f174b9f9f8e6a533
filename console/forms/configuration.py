"""A configuration's file as a person gives it: chosen from the disk, then carried by the page until it is put in."""

from __future__ import annotations

from typing import Any

import orjson
from django import forms
from django.utils.translation import gettext_lazy as _

from console.api.frame import MOST_BODY_BYTES
from console.forms.base import ConsoleForm

SECTIONS = (
    ("settings", _("Settings of the organisation")),
    ("providers", _("Providers, models and prices")),
    ("nodes", _("Machines")),
    ("routes", _("Routes")),
    ("cache_policies", _("Cache policies")),
    ("keys", _("API keys: what they may")),
    ("limits", _("Limits and budgets")),
    ("earnings", _("Earnings: programme and recognition")),
    ("members", _("Members: who is missing is invited by e-mail")),
)
_NOT_BY_ITSELF = {"members"}


class ImportForm(ConsoleForm):
    NO_CONFIGURATION = _("This is not a configuration that ShareAI has exported.")

    upload = forms.FileField(
        label=_("File"),
        error_messages={"required": _("Choose a file.")},
        widget=forms.ClearableFileInput({"accept": "application/json,.json", "class": "btn btn-plain"}),
    )
    text = forms.CharField(required=False, widget=forms.HiddenInput)
    sections = forms.MultipleChoiceField(
        label=_("What of it"),
        choices=SECTIONS,
        initial=[word for word, _label in SECTIONS if word not in _NOT_BY_ITSELF],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "checkbox checkbox-sm"}),
        error_messages={"required": _("Choose at least one part.")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["upload"].required = not self.data.get("text")

    def clean(self) -> dict[str, Any]:
        """`file` is what the chosen file says, else what the page carries."""
        given = self.cleaned_data
        upload = given.get("upload")
        if upload is not None and upload.size > MOST_BODY_BYTES:
            self.add_error("upload", _("The file is too large."))
            return given
        if upload is None and not given.get("text"):
            return given  # its field has said so already
        raw = upload.read() if upload is not None else given["text"].encode()
        try:
            given["file"], given["text"] = orjson.loads(raw), raw.decode()
        except (orjson.JSONDecodeError, UnicodeDecodeError):
            self.add_error("upload", self.NO_CONFIGURATION)
        return given
