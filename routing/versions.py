"""The versions of a route: what was published, by whom, when. A version never changes; going back makes a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Max
from django.utils import timezone

from accounts.audit import Actor
from routing.models import Canary, Route, RouteVersion

CONTENT = (
    "strategy",
    "targets",
    "timeouts",
    "enabled",
    "private",
    "spill_over",
    "rules",
    "continue_streams",
    "hedge",
)
"""What a route says besides its name: the fields of a version and of a draft."""


def content_of(route: Route) -> dict[str, Any]:
    return {name: getattr(route, name) for name in CONTENT}


def stored(content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version of the software knows; what an older one did not keep has its default."""
    return {name: content[name] for name in CONTENT if name in content}


def keep_version(route: Route, actor: Actor, restored: int | None = None) -> RouteVersion | None:
    """Notes what was just published, unless it is what stood there before. Call in the transaction of the change."""
    content = content_of(route)
    latest = route.versions.order_by("-number").first()
    if latest is not None and latest.content == content:
        return None
    running = Canary.objects.filter(route=route, state=Canary.RUNNING)
    running.update(state=Canary.SUPERSEDED, ended_at=timezone.now(), reason="published")
    return RouteVersion.objects.create(
        org_id=route.org_id,
        route=route,
        number=1 if latest is None else latest.number + 1,
        content=content,
        restored=restored,
        actor_label=actor.label[:254],
    )


def current_version(route: Route) -> int:
    return int(route.versions.aggregate(last=Max("number"))["last"] or 0)
