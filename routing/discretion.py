"""Which requests leave nothing behind here: neither a content in the log nor an answer in the cache. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from providers.schema import Call
from routing.filters import PRIVATE
from routing.snapshots import RouteRecord


def leaves_nothing(call: Call, routes: Mapping[str, RouteRecord]) -> bool:
    """What is meant to stay at home, and what its caller wishes to be forgotten. One private route among the names
    makes the whole call private, as it does for its way."""
    if call.place == PRIVATE or call.preferences.denies_collection or call.body.get("store") is False:
        return True
    for name in call.models:
        route = routes.get(name)
        if route is not None and route.private:
            return True
    return False
