"""Which requests of a route its canary gets: each by chance, so many of a hundred, whoever asks. Pure."""

from __future__ import annotations

import random

import msgspec

from routing.plans import Plan
from routing.snapshots import OrgSnapshot, RouteRecord

CANARY, STABLE, UNSERVED = "canary", "stable", "unserved"
"""Who served a request, as its usage row tells. What the canary could not serve at all, the stable version did."""


def drawn(route: RouteRecord) -> RouteRecord:
    """The route as one request sees it while a canary runs."""
    canary = route.canary
    if canary is None or random.random() * 100 >= canary.percent:  # noqa: S311  not a secret
        return route
    return canary.route


def variant_of(canary_id: str, version: str) -> dict[str, str]:
    return {"canary": canary_id, "version": version}


def is_canary(route: RouteRecord | None) -> bool:
    return route is not None and route.variant is not None and route.variant["version"] == CANARY


def label_of(route: RouteRecord) -> str:
    """Under which turns and shares are counted: those of the canary apart."""
    return f"{route.name} {CANARY}" if is_canary(route) else route.name


def without_canaries(snapshot: OrgSnapshot) -> OrgSnapshot:
    """As if none ran: what is explained and simulated is what stays."""
    if all(route.canary is None for route in snapshot.routes.values()):
        return snapshot
    routes = {
        name: msgspec.structs.replace(route, canary=None, variant=None) for name, route in snapshot.routes.items()
    }
    return msgspec.structs.replace(snapshot, routes=routes)


def unserved(plan: Plan, route: RouteRecord) -> Plan:
    """The stable version's plan for a request for which the canary has nobody."""
    assert route.variant is not None
    return msgspec.structs.replace(plan, variant=variant_of(route.variant["canary"], UNSERVED))
