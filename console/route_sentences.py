"""A route as sentences: its rules, and what holds where none fits; and what two of its versions say differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any

from django.utils.translation import gettext as _

from console.rule_sentences import Clause, manner, named, rule_clauses
from routing.legs import RouteTarget
from routing.sentences import parsed


@dataclass(frozen=True, slots=True)
class Change:
    """A sentence that one version says and the other does not."""

    is_new: bool
    text: str


def sentences(name: str, content: Mapping[str, Any]) -> list[list[Clause]]:
    """One for each rule, in order, and one for all other requests."""
    rules = [rule_clauses(parsed(sentence)) for sentence in content.get("rules", ())]
    return [*rules, clauses(name, content)]


def clauses(name: str, content: Mapping[str, Any]) -> list[Clause]:
    """What a route of this name says besides its rules."""
    if content.get("rules"):
        said = [Clause(_("otherwise"))]
    else:
        said = [Clause(_("when"), _("asked for “%(name)s”") % {"name": name})]
    for index, legs in enumerate(_tiers(content["targets"])):
        how = manner(legs, content["strategy"])
        word = _("use") if index == 0 else _("then fall back to")
        said.append(Clause(word, how, named(legs, content["strategy"])))
    return said + _provisos(content)


def changes(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What is gone and what has come, in the order in which the route says it."""
    old, new = _told(name, before), _told(name, after)
    found: list[Change] = []
    for tag, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            found += [Change(False, text) for text in old[old_from:old_to]]
            found += [Change(True, text) for text in new[new_from:new_to]]
    return found


def _told(name: str, content: Mapping[str, Any]) -> list[str]:
    """A rule is one line, so that one which only moved is seen to have moved."""
    *rules, rest = sentences(name, content)
    numbered = [f"{number}. {' · '.join(map(str, rule))}" for number, rule in enumerate(rules, 1)]
    return [*numbered, *map(str, rest)]


def _tiers(legs: Sequence[Mapping[str, Any]]) -> list[list[RouteTarget]]:
    values = sorted(
        (RouteTarget(leg["target"], leg.get("weight", 1), int(leg.get("tier", 0))) for leg in legs), key=_tier
    )
    return [list(group) for _tier_number, group in groupby(values, key=_tier)]


def _tier(leg: RouteTarget) -> int:
    return leg.tier


def _provisos(content: Mapping[str, Any]) -> list[Clause]:
    found = []
    spill_over = content.get("spill_over") or {}
    if (queue := spill_over.get("queue_above")) is not None:
        found.append(Clause(_("own machines first"), _("unless more than %(n)d requests wait there") % {"n": queue}))
    if (slow_s := spill_over.get("first_token_above_s")) is not None:
        found.append(Clause(_("own machines first"), _("unless a first token takes over %(s)g s") % {"s": slow_s}))
    if content.get("private"):
        found.append(Clause(_("never"), _("outside your own machines")))
    if (first_byte_s := (content.get("timeouts") or {}).get("first_byte_s")) is not None:
        found.append(Clause(_("give up"), _("on a target after %(s)g s") % {"s": first_byte_s}))
    if not content.get("enabled", True):
        found.append(Clause(_("switched off"), _("the name leads nowhere")))
    if content.get("continue_streams"):
        found.append(Clause(_("a broken stream"), _("goes on at the next target that can")))
    if hedge := content.get("hedge"):
        found.append(Clause(_("a slow stream"), _hedged(hedge)))
    return found


def _hedged(hedge: Mapping[str, Any]) -> str:
    said = {"ms": hedge["after_ms"], "percent": hedge["most_percent"], "usd": hedge["most_extra_usd"]}
    if hedge["after_ms"] is None:
        return _("is asked of a second target too, at most %(percent)d%% of them and for $%(usd)s at most") % said
    return (
        _("is asked of a second target too after %(ms)d ms, at most %(percent)d%% of them and for $%(usd)s at most")
        % said
    )
