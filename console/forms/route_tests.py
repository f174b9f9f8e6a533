"""The question to the route tester, as it stands in the URL."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm
from providers.schema import Call
from routing.explanation import imagined_of_kind

MOST_TOKENS = 10_000_000
KIND_CHOICES = (("chat", _("Chat")), ("embedding", _("Embeddings")))
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
        )
