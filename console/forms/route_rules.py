"""The rules of a route in a form that needs no JavaScript: each button sends the form, the page comes back changed.

what was sent, or the stored sentences → Written … → forms → rules → sentences
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext

from accounts.errors import InvalidField
from console.forms.rule_parts import FallbackForm, RuleForm, values_of_fallback, values_of_rule
from console.rule_sentences import Clause, rule_clauses
from routing.rules import Rule, RuleInvalid, check
from routing.sentences import parsed, rendered
from routing.services import MOST_RULES

Values = dict[str, list[str]]

COUNT = "rules"
MOST_FALLBACKS = 9
"""One for each cause, and one for the rest."""


@dataclass(slots=True)
class Written:
    """A rule as somebody wrote it, right or wrong: the texts of its fields."""

    values: Values = field(default_factory=dict)
    fallbacks: list[Values] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Card:
    """A rule as the page shows it. `sentence` is empty while it cannot be read as one."""

    form: RuleForm
    fallbacks: list[FallbackForm]
    sentence: list[Clause]


def of_sentences(sentences: Sequence[str]) -> list[Written]:
    rules = map(parsed, sentences)
    return [Written(values_of_rule(rule), list(map(values_of_fallback, rule.fallbacks))) for rule in rules]


def of_post(post: QueryDict) -> list[Written]:
    return [
        Written(
            _sent(post, f"rule{at}-", RuleForm),
            [
                _sent(post, f"rule{at}-fallback{place}-", FallbackForm)
                for place in range(_count(post, f"rule{at}-fallbacks", MOST_FALLBACKS))
            ],
        )
        for at in range(_count(post, COUNT, MOST_RULES))
    ]


def acted(rules: list[Written], act: str) -> list[Written]:
    """What a button of the editor makes of the rules: `add`, or `<verb>:<number of a rule>[:<number of a fallback>]`.
    One that makes no sense changes nothing."""
    verb, *places = act.split(":")
    at, place = ([int(each) if each.isdecimal() else -1 for each in places] + [0, 0])[:2]
    rules = list(rules)
    if verb == "add" and len(rules) < MOST_RULES:
        return [*rules, Written()]
    if not 0 <= at < len(rules):
        return rules
    if verb == "remove":
        del rules[at]
    elif verb == "up" and at > 0:
        rules[at - 1], rules[at] = rules[at], rules[at - 1]
    elif verb == "down" and at + 1 < len(rules):
        rules[at], rules[at + 1] = rules[at + 1], rules[at]
    elif verb == "fallback" and len(rules[at].fallbacks) < MOST_FALLBACKS:
        rules[at].fallbacks.append({})
    elif verb == "unfallback" and 0 <= place < len(rules[at].fallbacks):
        del rules[at].fallbacks[place]
    return rules


class RuleEditor:
    """`checks` is false where what was written is shown as it is, right or wrong, because nothing is to be saved."""

    def __init__(self, rules: Sequence[Written], *, checks: bool) -> None:
        self.cards = [_card(written, at, checks=checks) for at, written in enumerate(rules)]

    def is_valid(self) -> bool:
        """Every form is asked, so that all mistakes show at once."""
        found = [all([card.form.is_valid(), *(each.is_valid() for each in card.fallbacks)]) for card in self.cards]
        return all(found) and all(_is_sense(card) for card in self.cards)

    def sentences(self) -> list[str]:
        """As `routing.services` stores them; of valid rules only."""
        return [rendered(_rule_of(card.form, card.fallbacks)) for card in self.cards]

    def absorb(self, refusal: InvalidField) -> InvalidField | None:
        """Shows what speaks of a rule beside it; gives back what does not."""
        others = {}
        for name, texts in refusal.fields.items():
            room, _dot, at = name.partition(".")
            if room == "rules" and at.isdecimal() and int(at) < len(self.cards):
                _tell(self.cards[int(at)], texts)
            else:
                others[name] = texts
        return InvalidField(others) if others else None

    @property
    def errors(self) -> bool:
        return any(form.errors for card in self.cards for form in (card.form, *card.fallbacks))


def _card(written: Written, at: int, *, checks: bool) -> Card:
    bound = _forms(written, at, bound=True)
    can_be_read = all(each.is_valid() for each in (bound[0], *bound[1])) and _finds_no_mistake(_rule_of(*bound))
    sentence = rule_clauses(_rule_of(*bound)) if can_be_read else []
    return Card(*(_forms(written, at, bound=checks)), sentence)


def _forms(written: Written, at: int, *, bound: bool) -> tuple[RuleForm, list[FallbackForm]]:
    prefix = f"rule{at}"
    fallbacks = [
        _form(FallbackForm, values, f"{prefix}-fallback{place}", bound)
        for place, values in enumerate(written.fallbacks)
    ]
    return _form(RuleForm, written.values, prefix, bound), fallbacks


def _form(kind: type[Any], values: Values, prefix: str, bound: bool) -> Any:
    if bound:
        return kind(MultiValueDict({f"{prefix}-{name}": texts for name, texts in values.items()}), prefix=prefix)
    return kind(initial={name: _shown(kind, name, texts) for name, texts in values.items()}, prefix=prefix)


def _shown(kind: type[forms.Form], name: str, texts: list[str]) -> Any:
    is_many = isinstance(kind.base_fields[name], forms.MultipleChoiceField)
    return texts if is_many else (texts or [""])[0]


def _rule_of(form: RuleForm, fallbacks: Sequence[FallbackForm]) -> Rule:
    return Rule(form.use(), form.when(), tuple(each.fallback() for each in fallbacks))


def _finds_no_mistake(rule: Rule) -> bool:
    try:
        check(rule)
    except RuleInvalid:
        return False
    return True


def _is_sense(card: Card) -> bool:
    try:
        check(_rule_of(card.form, card.fallbacks))
    except RuleInvalid as mistake:
        card.form.add_error(None, gettext(mistake.text) % mistake.values if mistake.values else gettext(mistake.text))
        return False
    return True


def _tell(card: Card, texts: Sequence[str]) -> None:
    """Beside the targets that the text names, if any of the rule's are named."""
    for text in texts:
        blamed = next(
            (form for form in (card.form, *card.fallbacks) if any(f"“{name}”" in text for name in form.names())),
            card.form,
        )
        blamed.add_error("targets", text)


def _sent(post: Mapping[str, Any], prefix: str, kind: type[Any]) -> Values:
    assert isinstance(post, QueryDict)
    return {name: post.getlist(f"{prefix}{name}") for name in kind.base_fields if f"{prefix}{name}" in post}


def _count(post: Mapping[str, Any], name: str, most: int) -> int:
    text = str(post.get(name, ""))
    return min(int(text[:4]), most) if text.isdecimal() else 0
