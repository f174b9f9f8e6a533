"""A route as a person writes it: whom to use, and whom to fall back to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.forms.base import Lines
from console.forms.route_streams import RouteStreamsForm, streams_initial
from console.forms.rule_parts import leg_of, line_of
from console.route_words import STRATEGIES as WORDS
from routing.legs import RouteTarget
from routing.scorers import STRATEGIES
from routing.services import LONGEST_FIRST_BYTE_S, MOST_QUEUE, MOST_WEIGHT


class RouteForm(RouteStreamsForm):
    renames = {"targets": "use", "spill_over": "queue_above", "timeouts": "first_byte_s", "hedge": "hedge_after_ms"}

    name = forms.CharField(
        label=_("Name"),
        max_length=200,
        help_text=_("What applications send as the model, such as “fast” or “team/writing”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    strategy = forms.ChoiceField(label=_("Choose"), choices=[(name, WORDS[name]) for name in STRATEGIES])
    use = Lines(
        label=_("Use"),
        rows=4,
        required=True,
        help_text=_("One target per line. A weight may follow: openai/gpt-5-mini weight 3."),
    )
    fall_back = Lines(
        label=_("Then fall back to"),
        rows=3,
        help_text=_(
            "One target per line, in the order in which they are tried when those above fail. To choose among "
            "several, give them one tier: openai/gpt-5-mini tier 1."
        ),
    )
    private = forms.BooleanField(label=_("Never leave my own machines"), required=False)
    queue_above = forms.IntegerField(
        label=_("Own machines first, unless more requests wait than"),
        min_value=0,
        max_value=MOST_QUEUE,
        required=False,
    )
    first_token_above_s = forms.FloatField(
        label=_("…or a first token takes longer, in seconds, than"),
        min_value=0.001,
        max_value=LONGEST_FIRST_BYTE_S,
        required=False,
    )
    first_byte_s = forms.FloatField(
        label=_("Give up on a target after, in seconds"),
        min_value=0.001,
        max_value=LONGEST_FIRST_BYTE_S,
        required=False,
    )
    enabled = forms.BooleanField(label=_("Enabled"), required=False, initial=True)

    def clean_use(self) -> list[dict[str, Any]]:
        """Tiers are for what stands under “then fall back to”."""
        return [_leg(line, 0) for line in self.cleaned_data["use"]]

    def clean_fall_back(self) -> list[dict[str, Any]]:
        """A line without a tier comes after the one before it."""
        legs: list[dict[str, Any]] = []
        for line in self.cleaned_data["fall_back"]:
            leg = leg_of(line)
            says_tier = "tier" in line.split()[1:]
            if says_tier and leg.tier == 0:
                raise ValidationError(gettext("The first tier after those under “Use” is tier 1."))
            tier = leg.tier if says_tier else legs[-1]["tier"] + 1 if legs else 1
            legs.append({"target": leg.target, "weight": leg.weight, "tier": tier})
        return legs

    def content(self) -> dict[str, Any]:
        """What `routing.drafts.save_draft` takes."""
        given = self.cleaned_data
        bounds = {name: given[name] for name in ("queue_above", "first_token_above_s") if given[name] is not None}
        return {
            "strategy": given["strategy"],
            "targets": [*given["use"], *given["fall_back"]],
            "timeouts": {} if given["first_byte_s"] is None else {"first_byte_s": given["first_byte_s"]},
            "enabled": given["enabled"],
            "private": given["private"],
            "spill_over": bounds or None,
            **self.streams_content(),
        }


def initial_of(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """What the form shows of a route that says this; saved as it is, it says the same."""
    legs = sorted(content["targets"], key=_tier)
    tiers = [list(group) for _number, group in groupby(legs, key=_tier)]
    return {
        "name": name,
        "strategy": content["strategy"],
        "use": _lines(tiers[0]),
        "fall_back": _later_lines([leg for tier in tiers[1:] for leg in tier]),
        "private": content["private"],
        "first_byte_s": content["timeouts"].get("first_byte_s"),
        "enabled": content["enabled"],
        **(content["spill_over"] or {}),
        **streams_initial(content),
    }


def _tier(leg: Mapping[str, Any]) -> int:
    return int(leg.get("tier", 0))


def _lines(legs: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        leg["target"] if leg.get("weight", 1) == 1 else f"{leg['target']} weight {leg['weight']}" for leg in legs
    )


def _later_lines(legs: Sequence[Mapping[str, Any]]) -> str:
    """Tiers stand on their lines unless they are those that lines have anyway."""
    are_plain = [_tier(leg) for leg in legs] == list(range(1, len(legs) + 1))
    shown = (RouteTarget(leg["target"], leg.get("weight", 1), 0 if are_plain else _tier(leg)) for leg in legs)
    return "\n".join(map(line_of, shown))


def _leg(line: str, tier: int) -> dict[str, Any]:
    target, *rest = line.split()
    if not rest:
        return {"target": target, "weight": 1, "tier": tier}
    if len(rest) == 2 and rest[0] == "weight" and rest[1].isdecimal() and int(rest[1]) <= MOST_WEIGHT:
        return {"target": target, "weight": int(rest[1]), "tier": tier}
    raise ValidationError(gettext("“%(line)s” is not a target with or without a weight.") % {"line": line})
