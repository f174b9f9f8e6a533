"""What there is to call: the organisation's routes, or, where there are none yet, the models by their names."""

from __future__ import annotations

import msgspec

from accounts.models import Organization
from console.smoke.bench import Bench, Skipped
from providers.schema import CHAT, EMBEDDINGS
from routing.snapshots import OrgSnapshot, RouteRecord
from routing.tester import snapshot_now

MOST = 20
_ENDPOINTS = {"chat": CHAT, "embedding": EMBEDDINGS}


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
    snapshot = snapshot_now(organization)
    kinds = {name: _kind_of_route(snapshot, route) for name, route in snapshot.routes.items()}
    kinds = kinds or {model: targets[0].kind for model, targets in snapshot.by_model.items()}
    return [Subject(name, _ENDPOINTS[kind]) for name, kind in sorted(kinds.items()) if kind in _ENDPOINTS]


def _kind_of_route(snapshot: OrgSnapshot, route: RouteRecord) -> str:
    for leg in route.legs:
        target = snapshot.by_name.get(leg.target) or next(iter(snapshot.by_model.get(leg.target, ())), None)
        if target is not None:
            return target.kind
    return "chat"
