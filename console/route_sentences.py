"""A route as a sentence: *when* asked for a name *use* … *then fall back to* …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.utils.translation import gettext as _

from console.route_words import strategy


@dataclass(frozen=True, slots=True)
class Clause:
    """`word` is the one that stands out; `text` says how to choose among the `targets`, as (name, weight or None)."""

    word: str
    text: str = ""
    targets: tuple[tuple[str, int | None], ...] = ()


def clauses(name: str, content: Mapping[str, Any]) -> list[Clause]:
    """The sentence of a route of this name that says this."""
    tiers = _tiers(content["targets"])
    said = [Clause(_("when"), _("asked for “%(name)s”") % {"name": name})]
    for index, legs in enumerate(tiers):
        how = strategy(content["strategy"]) if len(legs) > 1 else ""
        word = _("use") if index == 0 else _("then fall back to")
        said.append(Clause(word, how, _named(legs, content["strategy"])))
    return said + _provisos(content)


def _tiers(legs: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    ordered = sorted(legs, key=_tier)
    return [list(group) for _tier_number, group in groupby(ordered, key=_tier)]


def _tier(leg: Mapping[str, Any]) -> int:
    return int(leg.get("tier", 0))


def _named(legs: Sequence[Mapping[str, Any]], how: str) -> tuple[tuple[str, int | None], ...]:
    counts = how in ("weighted", "least_busy", "sticky")
    return tuple((leg["target"], leg.get("weight", 1) if counts else None) for leg in legs)


def _provisos(content: Mapping[str, Any]) -> list[Clause]:
    found = []
    spill_over = content.get("spill_over") or {}
    if (queue := spill_over.get("queue_above")) is not None:
        found.append(Clause(_("own machines first"), _("unless more than %(n)d requests wait there") % {"n": queue}))
    if (slow_s := spill_over.get("first_token_above_s")) is not None:
        found.append(Clause(_("own machines first"), _("unless a first token takes over %(s)g s") % {"s": slow_s}))
    if content.get("private"):
        found.append(Clause(_("never"), _("outside your own machines")))
    return found
