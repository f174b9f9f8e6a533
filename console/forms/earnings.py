"""Programmes, recognition, answers, prices and causes, as a person enters them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.earnings.cases import LONGEST_ANSWER
from billing.earnings.models import (
    LEAST_DONATED_PERCENT,
    MISSION,
    MOST_DONATED_PERCENT,
    MOST_WEIGHT,
    REWARDS,
    Cause,
    Programme,
)
from billing.earnings.programmes import LONGEST_PUBLIC_NAME, weights_of
from console.earning_words import PROGRAMMES
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


class ProgrammeForm(ConsoleForm):
    """Each open cause has a field for its weight; none is chosen by 0 or nothing."""

    renames = {"causes": ""}

    kind = forms.ChoiceField(
        label=_("Programme"),
        choices=list(PROGRAMMES.items()),
        widget=forms.RadioSelect({"class": "radio radio-sm"}),
    )
    donated_percent = forms.IntegerField(
        label=_("How much of your share you give, in percent"),
        min_value=LEAST_DONATED_PERCENT,
        max_value=MOST_DONATED_PERCENT,
        required=False,
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "step": "1"}),
    )

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
        percent = programme.donated_percent or 50
        return cls(initial={"kind": programme.kind, "donated_percent": percent} | weights, causes=causes)

    @property
    def weights(self) -> list[tuple[Cause, forms.BoundField]]:
        return [(cause, self[_WEIGHT + cause.slug]) for cause in self.causes]

    def given(self) -> Mapping[str, Any]:
        """For `billing.earnings.programmes.choose`."""
        said = self.cleaned_data
        if said.get("kind") != MISSION:
            return {"kind": said.get("kind", REWARDS)}
        weights = {cause.slug: said.get(_WEIGHT + cause.slug) or 0 for cause in self.causes}
        chosen = {slug: weight for slug, weight in weights.items() if weight}
        return {"kind": MISSION, "donated_percent": said.get("donated_percent"), "causes": chosen}


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
