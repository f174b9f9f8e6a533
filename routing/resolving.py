"""What the names of a call stand for: a route and its rules, a model that targets serve, or one target. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from providers.schema import Call
from providers.targets import Target
from routing.canary_draw import drawn, label_of
from routing.filters import PRIVATE
from routing.legs import RouteTarget
from routing.rules import Facts, Fallback, Rule, first_match
from routing.snapshots import OrgSnapshot, RouteRecord

Legs = list[tuple[Target, int, int, int]]
"""Targets with weight, tier, and the place at which a route or rule names them."""


class Wanted(msgspec.Struct, frozen=True):
    """What one name of a call stands for: targets, and how to choose among them.

    `place` is where an answer may come from, by the call's wish or because one of its names is a private route.
    `rule` is the number of the rule that decided, 0 for none; `fallback` is set for what comes after the rule's own
    targets.
    """

    name: str
    targets: Legs
    route: RouteRecord | None
    strategy: str
    place: str | None
    rule: int = 0
    fallback: Fallback | None = None


def wanted_by(call: Call, snapshot: OrgSnapshot, facts_for: Callable[[RouteRecord], Facts]) -> list[Wanted]:
    """For each name of the call that is known. One private route among them makes the whole call private."""
    routes = snapshot.routes
    place = call.place
    if (
        place is None
        and routes
        and any((route := routes.get(name)) is not None and route.private for name in call.models)
    ):
        place = PRIVATE
    found: list[Wanted] = []
    sort = call.preferences.sort
    for name in call.models:
        route = routes.get(name)
        if route is not None and route.canary is not None:
            route = drawn(route)
        if route is None:
            targets = _served(name, snapshot)
            if targets is not None:
                found.append(Wanted(name, targets, None, sort or snapshot.default_strategy, place))
        elif route.rules and (match := first_match(route.rules, facts_for(route))) is not None:
            found += _ruled(route, *match, sort, place, snapshot)
        else:
            label = name if route.variant is None else label_of(route)
            found.append(Wanted(label, legs_of(route.legs, snapshot), route, sort or route.strategy, place))
    return found


def legs_of(legs: Iterable[RouteTarget], snapshot: OrgSnapshot) -> Legs:
    return [
        (target, leg.weight, leg.tier, place)
        for place, leg in enumerate(legs)
        for target in _targets_of_leg(leg.target, snapshot)
    ]


def _ruled(
    route: RouteRecord, number: int, rule: Rule, sort: str | None, place: str | None, snapshot: OrgSnapshot
) -> Iterator[Wanted]:
    """Shares and turns are counted for each of them apart, hence the names."""
    for index, fallback in enumerate((None, *rule.fallbacks)):
        use = rule.use if fallback is None else fallback.use
        yield Wanted(
            f"{label_of(route)} {number}.{index}",
            legs_of(use.legs, snapshot),
            route,
            sort or use.strategy,
            place,
            number,
            fallback,
        )


def _served(name: str, snapshot: OrgSnapshot) -> Legs | None:
    targets = snapshot.by_model.get(name)
    if targets is not None:
        return [(target, target.weight, 0, 0) for target in targets]
    pinned = snapshot.by_name.get(name)
    return [(pinned, 1, 0, 0)] if pinned is not None else None


def _targets_of_leg(name: str, snapshot: OrgSnapshot) -> tuple[Target, ...]:
    pinned = snapshot.by_name.get(name)
    return (pinned,) if pinned is not None else snapshot.by_model.get(name, ())
