"""The question to the route tester, as it stands in the URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm, Lines
from console.kind_words import CHOICES as KIND_CHOICES
from console.route_words import DATA_CLASSES
from providers.schema import Call
from routing.explanation import Marks, imagined_of_kind
from routing.rules import MOST_TOKENS

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
NEED_CHOICES = (("tools", _("Tools")), ("json_schema", _("JSON schema")), ("vision", _("Images")))


class RouteTestForm(ConsoleForm):
    model = forms.CharField(
        label=_("Model or route"),
        max_length=300,
        help_text=_("Any name that an application may send, endings such as :floor or :private too."),
        widget=forms.TextInput(attrs={"list": "names", "autocomplete": "off"}),
    )
    kind = forms.ChoiceField(label=_("Kind"), choices=KIND_CHOICES, initial="chat", required=False)
    prompt_tokens = forms.IntegerField(
        label=_("Prompt, in tokens"), min_value=0, max_value=MOST_TOKENS, initial=1000, required=False
    )
    max_tokens = forms.IntegerField(
        label=_("Answer at most, in tokens"), min_value=1, max_value=MOST_TOKENS, required=False
    )
    needs = forms.MultipleChoiceField(
        label=_("The target must handle"),
        choices=NEED_CHOICES,
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "checkbox checkbox-sm"}),
    )

    key = forms.ChoiceField(label=_("Sent with the key"), required=False)
    data_class = forms.ChoiceField(label=_("Data class"), required=False)
    tags = Lines(
        label=_("Tags"), rows=2, help_text=_("With commas between, or one a line. Those of the key are added.")
    )
    headers = Lines(label=_("Headers"), rows=2, help_text=_("One per line: x-team: red"), splits_at_commas=False)
    draft = forms.BooleanField(
        label=_("As if the draft of this route were live"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "checkbox checkbox-sm"}),
    )

    def __init__(self, *args: Any, keys: Mapping[str, str], **kwargs: Any) -> None:
        """Args: keys: names by public id."""
        super().__init__(*args, **kwargs)
        self.offer("key", [("", _("any")), *keys.items()])
        self.offer("data_class", [("", _("none")), *DATA_CLASSES.items()])

    @property
    def asks_for_marks(self) -> bool:
        """Whether anything is said that only rules ask about."""
        marks = (self[name] for name in ("key", "data_class", "tags", "headers", "draft"))
        return any(field.value() or field.errors for field in marks)

    def clean_headers(self) -> dict[str, str]:
        found = {}
        for line in self.cleaned_data["headers"]:
            name, colon, value = line.partition(":")
            if not colon or not _HEADER.fullmatch(name.strip()):
                raise forms.ValidationError(_("Write each as name: value."))
            found[name.strip().lower()] = value.strip()
        return found

    def call(self) -> Call:
        """The call that is asked about. Raises: InvalidRequest."""
        asked: dict[str, Any] = self.cleaned_data
        tokens = asked["prompt_tokens"]
        return imagined_of_kind(
            asked["model"],
            asked["kind"] or "chat",
            1000 if tokens is None else tokens,
            asked["max_tokens"],
            frozenset(asked["needs"]),
            Marks(asked["tags"], asked["data_class"], asked["headers"]),
        )
