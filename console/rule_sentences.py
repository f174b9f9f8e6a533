"""A rule as people read it: *when* … *use* … *then fall back to* …, in the language of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.route_words import cause, data_class, strategy
from routing.legs import RouteTarget
from routing.rules import Fallback, Rule, Use, When
from routing.sentences import clock

_BY_WEIGHT = ("weighted", "least_busy", "sticky")


@dataclass(frozen=True, slots=True)
class Clause:
    """`word` is the one that stands out; `text` says how to choose among the `targets`, as (name, weight or None)."""

    word: str
    text: str = ""
    targets: tuple[tuple[str, int | None], ...] = ()

    def __str__(self) -> str:
        named = ", ".join(name if weight is None else f"{name} × {weight}" for name, weight in self.targets)
        return " ".join(part for part in (self.word, self.text, named) if part)


def rule_clauses(rule: Rule) -> list[Clause]:
    conditions = list(_conditions(rule.when))
    if conditions:
        said = [Clause(_("when"), _(" and ").join(conditions))]
    else:
        said = [Clause(_("always"))]
    said += _used(rule.use, _("use"), "")
    for fallback in rule.fallbacks:
        said += _used(fallback.use, _("then fall back to"), _causes(fallback))
    return said


def named(legs: Sequence[RouteTarget], how: str) -> tuple[tuple[str, int | None], ...]:
    return tuple((leg.target, leg.weight if how in _BY_WEIGHT else None) for leg in legs)


def manner(legs: Sequence[RouteTarget], how: str) -> str:
    """How to choose among them, where there is a choice: a model's own name stands for all who serve it."""
    is_choice = len(legs) > 1 or ("/" not in legs[0].target and how != "priority")
    return strategy(how) if is_choice else ""


def _used(use: Use, word: str, causes: str) -> Iterator[Clause]:
    """The tiers of a use are told one after the other; what it is used after stands with the first."""
    ordered = sorted(use.legs, key=_tier)
    for _number, group in groupby(ordered, key=_tier):
        legs = list(group)
        how = manner(legs, use.strategy)
        yield Clause(word, " ".join(part for part in (causes, how) if part), named(legs, use.strategy))
        word, causes = _("and after that"), ""


def _tier(leg: RouteTarget) -> int:
    return leg.tier


def _causes(fallback: Fallback) -> str:
    if not fallback.causes:
        return ""
    return _("on %(causes)s:") % {"causes": _(" or ").join(map(cause, fallback.causes))}


def _conditions(when: When) -> Iterator[str]:
    lists = (
        (when.models, _("the model asked for is %(values)s")),
        (when.keys, _("the key is %(values)s")),
        (when.members, _("the member is %(values)s")),
        (when.tags, _("the tag is %(values)s")),
        (tuple(map(data_class, when.data_classes)), _("the data is %(values)s")),
    )
    for values, text in lists:
        if values:
            yield text % {"values": _either(values)}
    for name, values in when.headers:
        yield _("the header %(name)s is %(values)s") % {"name": name, "values": _either(values)}
    yield from _bounds(when)


def _bounds(when: When) -> Iterator[str]:
    over, under = when.prompt_over_tokens, when.prompt_under_tokens
    if over is not None:
        yield ngettext("the prompt is over %(n)d token", "the prompt is over %(n)d tokens", over) % {"n": over}
    if under is not None:
        yield ngettext("the prompt is under %(n)d token", "the prompt is under %(n)d tokens", under) % {"n": under}
    if when.budget_over_percent is not None:
        yield _("over %(n)d %% of the budget is used") % {"n": when.budget_over_percent}
    if when.hours is not None:
        times = {"start": clock(when.hours.start), "end": clock(when.hours.end)}
        yield _("it is between %(start)s and %(end)s") % times


def _either(values: Sequence[str]) -> str:
    return _(" or ").join(f"“{value}”" for value in values)
