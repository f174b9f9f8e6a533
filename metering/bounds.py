"""Limits as the data plane holds them: each number that somebody set is a `Bound`, made when a snapshot loads."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from accounts import scopes
from accounts.scopes import LimitRecord
from common.ratelimit import cost_us

REQUESTS, TOKENS, SLOTS = "requests", "tokens", "slots"
MINUTE_US, DAY_US = 60_000_000, 86_400_000_000

_RATES = (
    ("rpm", REQUESTS, MINUTE_US),
    ("rpd", REQUESTS, DAY_US),
    ("tpm", TOKENS, MINUTE_US),
    ("tpd", TOKENS, DAY_US),
)


class Bound(msgspec.Struct, frozen=True, gc=False):
    """One number of one scope. `bucket` is its key in Redis; a slot has no window.

    Attributes:
        name: "rpm", "rpd", "tpm", "tpd" or "concurrency".
        unit_us: what one unit costs of the window.
    """

    bucket: str
    scope: str
    subject: str
    name: str
    unit: str
    limit: int
    window_us: int = 0
    unit_us: float = 0.0


Bounds = tuple[Bound, ...]


class Limits(msgspec.Struct, frozen=True):
    """All limits of one organisation. Keys are found by their row's id, whichever key they replace."""

    organization: Bounds
    members: dict[int, Bounds]
    keys: dict[int, Bounds]
    routes: dict[str, Bounds]
    models: dict[str, Bounds]
    nodes: dict[str, Bounds]

    def of_caller(self, user_id: int | None, key_id: int, route: str) -> list[Bound]:
        """What holds wherever the request goes."""
        bounds = [*self.organization]
        if user_id is not None and (found := self.members.get(user_id)):
            bounds += found
        if found := self.keys.get(key_id):
            bounds += found
        if route and (found := self.routes.get(route)):
            bounds += found
        return bounds

    def of_target(self, model: str, node: str) -> Bounds:
        """What holds for one place that it may go to."""
        bounds = self.models.get(model, ())
        return bounds + self.nodes.get(node, ()) if node else bounds


def bounds_of(org_id: int, record: LimitRecord) -> Bounds:
    stem = f"shareai:limit:{org_id}:{record.scope}:{record.subject}"
    found = []
    for name, unit, window_us in _RATES:
        limit = getattr(record, name)
        if limit is not None:
            unit_us = cost_us(1, limit, window_us)
            found.append(Bound(f"{stem}:{name}", record.scope, record.label, name, unit, limit, window_us, unit_us))
    if record.concurrency is not None:
        name = "concurrency"
        found.append(Bound(f"{stem}:{name}", record.scope, record.label, name, SLOTS, record.concurrency))
    return tuple(found)


def limits_of(org_id: int, records: Iterable[LimitRecord]) -> Limits | None:
    """None when nothing is limited."""
    by_scope: dict[str, dict[str, Bounds]] = {}
    for record in records:
        bounds = bounds_of(org_id, record)
        if not bounds:  # it has budgets only
            continue
        by_scope.setdefault(record.scope, {})[record.subject] = bounds
        for other in record.also:
            by_scope[record.scope][other] = by_scope[record.scope][record.subject]
    if not by_scope:
        return None
    return Limits(
        organization=by_scope.get(scopes.ORGANISATION, {}).get("", ()),
        members={int(subject): bounds for subject, bounds in by_scope.get(scopes.MEMBER, {}).items()},
        keys={int(subject): bounds for subject, bounds in by_scope.get(scopes.KEY, {}).items()},
        routes=by_scope.get(scopes.ROUTE, {}),
        models=by_scope.get(scopes.MODEL, {}),
        nodes=by_scope.get(scopes.NODE, {}),
    )
