"""What there is to call: the organisation's routes, or, where there are none yet, the models by their names."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from accounts.models import Organization
from console.smoke.bench import Bench, Skipped
from providers.endpoints import CHAT, COSTLY_KINDS, ENDPOINT_OF_KIND
from providers.targets import Target
from routing.snapshots import RouteRecord
from routing.sources import load_routes
from routing.tester import targets_now

MOST = 20


class Subject(msgspec.Struct, frozen=True):
    name: str
    endpoint: str


def subjects(bench: Bench, *, chat_only: bool = False) -> list[Subject]:
    """The route that was chosen; else all, at most `MOST`. Raises: Skipped: there is nothing to call."""
    found = subjects_of(bench.organization)
    if bench.run.route:
        found = [one for one in found if one.name == bench.run.route] or [Subject(bench.run.route, CHAT)]
    if chat_only:
        found = [one for one in found if one.endpoint == CHAT]
    if not found:
        raise Skipped("nothing_to_call")
    return found[:MOST]


def subjects_of(organization: Organization) -> list[Subject]:
    targets = targets_now(organization)
    of_model: dict[str, Target] = {}
    for target in targets.values():
        if not target.named_only:
            of_model.setdefault(target.model_id, target)
    kinds = {route.name: _kind_of_route(route, targets, of_model) for route in load_routes(organization.pk)}
    kinds = kinds or {model: target.kind for model, target in of_model.items()}
    return [Subject(name, ENDPOINT_OF_KIND[kind]) for name, kind in sorted(kinds.items()) if kind not in COSTLY_KINDS]


def _kind_of_route(route: RouteRecord, by_name: Mapping[str, Target], of_model: Mapping[str, Target]) -> str:
    for leg in route.legs:
        target = by_name.get(leg.target) or of_model.get(leg.target)
        if target is not None:
            return target.kind
    return "chat"
