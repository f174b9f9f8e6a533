"""One rule, and one of its fallbacks, as a person writes them; and what the fields show of those that stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.forms.base import ConsoleForm
from console.route_words import CAUSES as CAUSE_WORDS
from console.route_words import DATA_CLASSES as DATA_CLASS_WORDS
from console.route_words import STRATEGIES as STRATEGY_WORDS
from routing.legs import RouteTarget
from routing.rules import (
    CAUSES,
    DATA_CLASSES,
    MOST_PERCENT,
    MOST_TIER,
    MOST_TOKENS,
    MOST_WEIGHT,
    Fallback,
    Hours,
    Rule,
    Use,
    When,
)
from routing.scorers import STRATEGIES
from routing.sentences import clock


class Entries(forms.CharField):
    """A text area, one entry a line; cleaned to a tuple without blanks. Unlike `Lines` it leaves commas alone."""

    def __init__(self, *, rows: int = 2, required: bool = False, **kwargs: Any) -> None:
        attrs = {"rows": rows, "class": "input-code", "spellcheck": "false"}
        super().__init__(required=required, widget=forms.Textarea(attrs=attrs), **kwargs)

    def clean(self, value: Any) -> Any:
        lines = (line.strip() for line in super().clean(value).splitlines())
        return tuple(dict.fromkeys(line for line in lines if line))


class _UseForm(ConsoleForm):
    """Whom to use. `targets` are cleaned to legs."""

    strategy = forms.ChoiceField(label=_("Choose"), choices=[(name, STRATEGY_WORDS[name]) for name in STRATEGIES])
    targets = Entries(
        label=_("Use"),
        rows=3,
        required=True,
        help_text=_("One target per line. Behind it may stand: weight 3, or tier 1 for later ones."),
    )

    def clean_targets(self) -> tuple[RouteTarget, ...]:
        legs = tuple(map(leg_of, self.cleaned_data["targets"]))
        if not any(leg.weight for leg in legs):
            raise ValidationError(gettext("At least one target has a weight above 0."))
        return legs

    def use(self) -> Use:
        return Use(self.cleaned_data["strategy"], self.cleaned_data["targets"])

    def names(self) -> list[str]:
        return [leg.target for leg in self.cleaned_data.get("targets", ())]


class RuleForm(_UseForm):
    tags = Entries(label=_("A tag is"), help_text=_("Of the key, or of the request's metadata. One per line."))
    keys = Entries(label=_("The key is"), help_text=_("Names of API keys, one per line."))
    data_classes = forms.MultipleChoiceField(
        label=_("The data is"),
        choices=[(name, DATA_CLASS_WORDS[name]) for name in DATA_CLASSES],
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "checkbox checkbox-sm"}),
    )
    members = Entries(label=_("The member is"), help_text=_("E-mail addresses, one per line."))
    models = Entries(label=_("The model asked for is"), help_text=_("As applications send it, one per line."))
    headers = Entries(label=_("A header is"), help_text=_("One per line: x-team: red"))
    prompt_over_tokens = forms.IntegerField(
        label=_("The prompt is over, in tokens"), min_value=0, max_value=MOST_TOKENS, required=False
    )
    prompt_under_tokens = forms.IntegerField(
        label=_("The prompt is under, in tokens"), min_value=0, max_value=MOST_TOKENS, required=False
    )
    starts = forms.TimeField(label=_("From"), required=False, widget=forms.TimeInput(attrs={"type": "time"}))
    ends = forms.TimeField(label=_("Until"), required=False, widget=forms.TimeInput(attrs={"type": "time"}))
    budget_over_percent = forms.IntegerField(
        label=_("Of the budget is used more than, in %"), min_value=0, max_value=MOST_PERCENT, required=False
    )
    seldom = ("members", "models", "headers", "prompt_over_tokens", "prompt_under_tokens", "starts", "ends")
    """Fields that the page keeps folded while they are empty; the budget stands among them."""

    @property
    def unfolds(self) -> bool:
        return any(self[name].value() or self[name].errors for name in (*self.seldom, "budget_over_percent"))

    def clean_headers(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        found: dict[str, tuple[str, ...]] = {}
        for line in self.cleaned_data["headers"]:
            name, colon, value = (part.strip() for part in line.partition(":"))
            if not (name and colon and value):
                raise ValidationError(gettext("“%(line)s” is not a header and its value.") % {"line": line})
            found[name.lower()] = (*found.get(name.lower(), ()), value)
        return tuple(found.items())

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        starts, ends = given.get("starts"), given.get("ends")
        if "starts" not in self.errors and "ends" not in self.errors:
            if (starts is None) != (ends is None):
                self.add_error("ends" if ends is None else "starts", gettext("Give both times, or neither."))
            elif starts is not None and starts == ends:
                self.add_error("ends", gettext("The hours begin and end at the same time."))
        over, under = given.get("prompt_over_tokens"), given.get("prompt_under_tokens")
        if over is not None and under is not None and under <= over + 1:
            self.add_error("prompt_under_tokens", gettext("No prompt is over %(n)d and under this.") % {"n": over})
        return given

    def when(self) -> When:
        given = self.cleaned_data
        hours = None if given["starts"] is None else Hours(_minute(given["starts"]), _minute(given["ends"]))
        return When(
            **{name: given[name] for name in ("models", "keys", "members", "tags", "headers")},
            data_classes=tuple(given["data_classes"]),
            **{name: given[name] for name in ("prompt_over_tokens", "prompt_under_tokens", "budget_over_percent")},
            hours=hours,
        )


class FallbackForm(_UseForm):
    causes = forms.MultipleChoiceField(
        label=_("After"),
        choices=[(name, CAUSE_WORDS[name]) for name in CAUSES],
        required=False,
        help_text=_("None ticked: after any failure."),
        widget=forms.CheckboxSelectMultiple(attrs={"class": "checkbox checkbox-sm"}),
    )

    def fallback(self) -> Fallback:
        return Fallback(self.use(), tuple(self.cleaned_data["causes"]))


def values_of_rule(rule: Rule) -> dict[str, list[str]]:
    """What the fields show of a rule."""
    when = rule.when
    values = {name: ["\n".join(getattr(when, name))] for name in ("models", "keys", "members", "tags")}
    values["headers"] = ["\n".join(f"{name}: {value}" for name, texts in when.headers for value in texts)]
    values["data_classes"] = list(when.data_classes)
    for name in ("prompt_over_tokens", "prompt_under_tokens", "budget_over_percent"):
        values[name] = _texts(getattr(when, name))
    hours = when.hours
    values["starts"] = _texts(None if hours is None else clock(hours.start))
    values["ends"] = _texts(None if hours is None else clock(hours.end))
    return values | _values_of_use(rule.use)


def values_of_fallback(fallback: Fallback) -> dict[str, list[str]]:
    return {"causes": list(fallback.causes)} | _values_of_use(fallback.use)


def _values_of_use(use: Use) -> dict[str, list[str]]:
    return {"strategy": [use.strategy], "targets": ["\n".join(map(line_of, use.legs))]}


def _texts(value: object) -> list[str]:
    return [] if value is None else [str(value)]


def _minute(at: time) -> int:
    return at.hour * 60 + at.minute


def line_of(leg: RouteTarget) -> str:
    weight = "" if leg.weight == 1 else f" weight {leg.weight}"
    tier = "" if leg.tier == 0 else f" tier {leg.tier}"
    return f"{leg.target}{weight}{tier}"


_MOST: Mapping[str, int] = {"weight": MOST_WEIGHT, "tier": MOST_TIER}


def leg_of(line: str) -> RouteTarget:
    """Raises: ValidationError: the line is no target with or without a weight and a tier."""
    target, *rest = line.split()
    given = dict(_pairs(rest))
    if len(rest) != 2 * len(given) or any(_is_wrong(name, text) for name, text in given.items()):
        raise ValidationError(
            gettext("“%(line)s” is not a target with or without a weight and a tier.") % {"line": line}
        )
    return RouteTarget(target, **{name: int(text) for name, text in given.items()})


def _pairs(words: Sequence[str]) -> Iterable[tuple[str, str]]:
    return zip(words[::2], words[1::2], strict=False)


def _is_wrong(name: str, text: str) -> bool:
    return name not in _MOST or not text.isdecimal() or int(text[:9]) > _MOST[name]
