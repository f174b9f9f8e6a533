"""A connection, its keys and its models as a person enters them; `providers.drafts` decides what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from common.numbers import plain
from console.forms.base import ConsoleForm, Lines
from console.forms.finer_prices import FinerPriceForm, initial_of_finer
from console.kind_words import CHOICES as KIND_CHOICES
from providers.drafts import CAPABILITIES
from providers.models import Connection, ServedModel
from providers.presets import KeyNeed, Preset
from providers.targets import DATA_COLLECTION, DROPPED_PARAMS, QUANTIZATION, QUANTIZATIONS, UNKNOWN

_SECRET = {"class": "input-code masked", "autocomplete": "off", "spellcheck": "false"}
_PRICE_HELP = _("US dollars per million tokens. Both empty: the catalogue's price.")


_OPTIONS = ("auth_header", "api_version", DATA_COLLECTION, QUANTIZATION, DROPPED_PARAMS)


class ConnectionForm(ConsoleForm):
    """For a new connection and for changing one; `preset` decides which fields are needed."""

    renames = {f"options.{name}": name for name in _OPTIONS}

    name = forms.CharField(label=_("Name"), max_length=80, widget=forms.TextInput({"autocomplete": "off"}))
    base_url = forms.CharField(
        label=_("Base URL"),
        max_length=300,
        help_text=_("Up to and without /chat/completions."),
        widget=forms.TextInput({"class": "input-code", "inputmode": "url", "spellcheck": "false"}),
    )
    api_keys = Lines(
        label=_("API keys"),
        rows=2,
        widget=forms.Textarea(_SECRET | {"rows": 2}),
        help_text=_("One per line. Several keys take turns; one that the vendor refuses is set aside."),
    )
    priority = forms.IntegerField(
        label=_("Priority"), min_value=1, max_value=10_000, initial=100, help_text=_("Lower is tried first.")
    )
    auth_header = forms.CharField(
        label=_("Header that carries the key"),
        required=False,
        widget=forms.TextInput({"class": "input-code", "placeholder": "authorization"}),
    )
    api_version = forms.CharField(
        label=_("API version"), required=False, widget=forms.TextInput({"class": "input-code"})
    )
    data_collection = forms.ChoiceField(
        label=_("What it keeps of requests"),
        required=False,
        choices=(("", _("Not known")), ("deny", _("Nothing")), ("allow", _("It may keep them"))),
        help_text=_("Requests with data_collection: deny go where nothing is kept, and to your own machines."),
    )
    quantization = forms.ChoiceField(
        label=_("Quantization"),
        required=False,
        choices=(("", _("Not known")), *((word, word) for word in QUANTIZATIONS if word != UNKNOWN)),
    )

    dropped_params = forms.CharField(
        label=_("Parameters it cannot take"),
        required=False,
        widget=forms.TextInput({"class": "input-code", "placeholder": "logit_bias seed", "spellcheck": "false"}),
        help_text=_(
            "With spaces between. They are left out of what is sent there, and the answer's header "
            "x-shareai-dropped-params names them."
        ),
    )

    def __init__(self, *args: Any, preset: Preset, is_new: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["api_keys"].required = is_new and preset.key == KeyNeed.REQUIRED
        if not is_new:
            self.fields["api_keys"].label = _("Add keys")
        if not preset.auth_header or preset.id not in ("custom", "azure"):
            del self.fields["auth_header"], self.fields["api_version"]

    def options(self, kept: Mapping[str, str] | None = None) -> dict[str, str]:
        """`kept` are the stored ones: those that this form does not show stay as they are."""
        hidden = {name: value for name, value in (kept or {}).items() if name in _OPTIONS and name not in self.fields}
        return hidden | {name: self.cleaned_data[name] for name in _OPTIONS if self.cleaned_data.get(name)}


def initial_of_preset(preset: Preset) -> dict[str, Any]:
    return {"name": preset.name if preset.base_url else "", "base_url": preset.base_url}


def initial_of(connection: Connection) -> dict[str, Any]:
    return {
        "name": connection.name,
        "base_url": connection.base_url,
        "priority": connection.priority,
        **{name: connection.options.get(name, "") for name in _OPTIONS},
    }


class AddKeyForm(ConsoleForm):
    renames = {"api_keys": "key"}

    key = forms.CharField(label=_("Key"), max_length=4096, widget=forms.TextInput(_SECRET))
    label = forms.CharField(label=_("Label"), max_length=60, required=False)


class ModelForm(FinerPriceForm):
    """One served model."""

    id = forms.CharField(
        label=_("Public name"),
        max_length=200,
        help_text=_("What applications ask for."),
        widget=forms.TextInput({"class": "input-code", "spellcheck": "false"}),
    )
    upstream_id = forms.CharField(
        label=_("Name at the provider"), max_length=200, widget=forms.TextInput({"class": "input-code"})
    )
    kind = forms.ChoiceField(label=_("Kind"), choices=KIND_CHOICES)
    enabled = forms.BooleanField(label=_("Enabled"), required=False)
    input_price = forms.CharField(label=_("Input price"), required=False, help_text=_PRICE_HELP)
    output_price = forms.CharField(label=_("Output price"), required=False)
    cached_input_price = forms.CharField(label=_("Cached input price"), required=False)
    weight = forms.IntegerField(label=_("Weight"), min_value=1, max_value=1000, initial=1)
    context_tokens = forms.IntegerField(label=_("Context window (tokens)"), min_value=1, required=False)
    max_output_tokens = forms.IntegerField(label=_("Most output tokens"), min_value=1, required=False)
    capabilities = forms.MultipleChoiceField(
        label=_("Can do"),
        required=False,
        choices=[(name, name) for name in sorted(CAPABILITIES)],
        widget=forms.CheckboxSelectMultiple({"class": "checkbox"}),
    )


def initial_of_model(model: ServedModel) -> dict[str, Any]:
    plain = ("upstream_id", "kind", "enabled", "weight", "context_tokens", "max_output_tokens", "capabilities")
    prices = ("input_price", "output_price", "cached_input_price")
    return (
        {"id": model.model_id}
        | {name: getattr(model, name) for name in plain}
        | {name: _plain(getattr(model, name)) for name in prices}
        | initial_of_finer(model)
    )


def _plain(price: Decimal | None) -> str:
    return "" if price is None else plain(price)


class FaultForm(ConsoleForm):
    """Which fault a simulated provider of the demo plays, and on which share of its answers."""

    fault = forms.ChoiceField(label=_("Fault"))
    share = forms.TypedChoiceField(
        label=_("On"),
        coerce=float,
        initial="1",
        choices=(("0.1", _("1 of 10 answers")), ("0.3", _("3 of 10 answers")), ("1", _("every answer"))),
    )

    def __init__(self, *args: Any, faults: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("fault", [(name, _("none") if name == "ok" else name) for name in faults])
