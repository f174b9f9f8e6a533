"""One leg of a route or of a rule: the value that both are made of."""

from __future__ import annotations

import msgspec


class RouteTarget(msgspec.Struct, frozen=True):
    """One leg of a route. `tier` orders groups, lower first; `weight` 0 gets no traffic."""

    target: str
    weight: int = 1
    tier: int = 0
