"""Programmes, recognition, answers, prices and causes, as a person enters them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.earnings.cases import LONGEST_ANSWER
from billing.earnings.models import (
    MOST_WEIGHT,
    Cause,
    Programme,
)
from billing.earnings.programmes import LONGEST_PUBLIC_NAME, weights_of
from console.forms.base import ConsoleForm
from console.forms.finer_prices import TIER_LABELS, TieredPriceForm

_WEIGHT = "weight-"


class EstimateForm(ConsoleForm):
    """What a machine does in a month, as its owner imagines it."""

    speed = forms.DecimalField(
        label=_("Tokens a second"), min_value=Decimal("0.1"), max_value=100_000, decimal_places=1, initial=40
    )
    hours = forms.DecimalField(
        label=_("Busy hours a day"), min_value=Decimal("0.1"), max_value=24, decimal_places=1, initial=4
    )
    price = forms.DecimalField(
        label=_("Price of a million output tokens, in US dollars"), min_value=0, max_value=1000, decimal_places=6,
        initial=Decimal("0.50"),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, step in {"speed": "1", "hours": "0.5", "price": "0.05"}.items():
            self.fields[name].widget.attrs |= {"inputmode": "decimal", "step": step}


def _percent_field(label: Any) -> forms.IntegerField:
    attrs = {"inputmode": "numeric", "step": "1", "class": "max-w-24"}
    return forms.IntegerField(label=label, min_value=0, max_value=100, widget=forms.NumberInput(attrs))


class ProgrammeForm(ConsoleForm):
    """What the two percentages leave is rewards. Each open cause has a field for its weight; none is chosen by 0 or
    nothing."""

    renames = {"causes": ""}

    exchanged_percent = _percent_field(_("As tokens, in percent"))
    donated_percent = _percent_field(_("To causes, in percent"))

    def __init__(self, *args: Any, causes: Iterable[Cause], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.causes = list(causes)
        for cause in self.causes:
            self.fields[_WEIGHT + cause.slug] = forms.IntegerField(
                label=cause.name, min_value=0, max_value=MOST_WEIGHT, required=False,
                widget=forms.NumberInput(attrs={"inputmode": "numeric", "step": "1", "class": "max-w-24"}),
            )  # fmt: skip

    @classmethod
    def of(cls, programme: Programme, causes: Iterable[Cause]) -> ProgrammeForm:
        weights = {_WEIGHT + slug: weight for slug, weight in weights_of(programme).items()}
        parts = {name: getattr(programme, name) for name in ("exchanged_percent", "donated_percent")}
        return cls(initial=parts | weights, causes=causes)

    @property
    def rewarded_percent(self) -> int | None:
        """What is left as the fields stand, if that can be said."""
        parts = [str(self[name].value()) for name in ("exchanged_percent", "donated_percent")]
        rest = 100 - sum(map(int, parts)) if all(part.isdecimal() and len(part) < 4 for part in parts) else -1
        return rest if rest >= 0 else None

    @property
    def weights(self) -> list[tuple[Cause, forms.BoundField]]:
        return [(cause, self[_WEIGHT + cause.slug]) for cause in self.causes]

    def given(self) -> Mapping[str, Any]:
        """For `billing.earnings.programmes.choose`."""
        said = self.cleaned_data
        weights = {cause.slug: said.get(_WEIGHT + cause.slug) for cause in self.causes}
        return {
            "exchanged_percent": said["exchanged_percent"],
            "donated_percent": said["donated_percent"],
            "causes": {slug: weight for slug, weight in weights.items() if weight},
        }


class RecognitionForm(ConsoleForm):
    is_public = forms.BooleanField(label=_("Show us on the leaderboard, with our badges"), required=False)
    public_name = forms.CharField(
        label=_("Name to be shown"),
        max_length=LONGEST_PUBLIC_NAME,
        required=False,
        help_text=_("Any name; nothing else tells whose machines they are."),
    )


class AnswerForm(ConsoleForm):
    answer = forms.CharField(
        label=_("Your answer"),
        max_length=LONGEST_ANSWER,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("What explains it? A new vocabulary, a changed model server, a mistake that you mended."),
    )


class DecisionForm(ConsoleForm):
    note = forms.CharField(label=_("Reason, which the owner reads"), max_length=300)


class PriceForm(TieredPriceForm):
    """In US dollars for a million tokens."""

    tier_labels: ClassVar[Mapping[str, Any]] = {
        name: TIER_LABELS[name] for name in ("above_tokens", "input_price", "output_price")
    }

    node = forms.CharField(widget=forms.HiddenInput)
    upstream_id = forms.CharField(widget=forms.HiddenInput, max_length=200)
    input_price = forms.CharField(label=_("Input"), max_length=20)
    output_price = forms.CharField(label=_("Output"), max_length=20)


class CausePaymentForm(ConsoleForm):
    amount_usd = forms.DecimalField(
        label=_("Amount in US dollars"),
        min_value=Decimal("0.000000001"),
        max_digits=15,
        decimal_places=9,
        widget=forms.NumberInput(attrs={"inputmode": "decimal", "step": "any"}),
    )
    reference = forms.CharField(
        label=_("Reference of the bank transfer"),
        max_length=80,
        help_text=_("The same reference is noted once, however often it is sent."),
    )


class CauseForm(ConsoleForm):
    name = forms.CharField(label=_("Name"), max_length=120)
    summary = forms.CharField(label=_("What it does, in a sentence"), max_length=240)
    about = forms.CharField(
        label=_("About it"), max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 6})
    )
    website = forms.CharField(label=_("Website"), max_length=300, required=False)
