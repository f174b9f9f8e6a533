"""What an organisation loses while a machine takes no work, for the question before it."""

from __future__ import annotations

from dataclasses import dataclass

from console.offers import served_in_sight
from nodes.models import COMMUNITY, SHARED, Node, NodeModel
from routing.models import Route


@dataclass(frozen=True, slots=True)
class Loss:
    """
    Args:
        models: names that nothing else serves; requests for them fail.
        elsewhere: names that something else serves as well.
        routes: routes of the organisation that name this machine, by their names.
        guests: names of organisations that it is shared with.
        is_community: strangers lose it too.
    """

    models: tuple[str, ...]
    elsewhere: tuple[str, ...]
    routes: tuple[str, ...]
    guests: tuple[str, ...]
    is_community: bool


def without(node: Node) -> Loss:
    offered = sorted(node.served_models.filter(advertised=True, present=True).values_list("model_id", flat=True))
    elsewhere = _served_elsewhere(node, offered)
    guests = node.shares.values_list("guest__name", flat=True) if node.visibility == SHARED else []
    return Loss(
        models=tuple(name for name in offered if name not in elsewhere),
        elsewhere=tuple(name for name in offered if name in elsewhere),
        routes=_routes_naming(node),
        guests=tuple(sorted(guests)),
        is_community=node.visibility == COMMUNITY,
    )


def _served_elsewhere(node: Node, names: list[str]) -> set[str]:
    """By providers, and by other machines of the organisation that are not taken out of service."""
    machines = NodeModel.objects.of(node.org).filter(
        model_id__in=names, advertised=True, present=True, node__paused=False, node__revoked_at=None
    )
    by_machines = machines.exclude(node=node).values_list("model_id", flat=True)
    by_providers = served_in_sight(node.org).filter(model_id__in=names).values_list("model_id", flat=True)
    return {*by_machines, *by_providers}


def _routes_naming(node: Node) -> tuple[str, ...]:
    routes = Route.objects.of(node.org).filter(enabled=True).order_by("name")
    prefix = f"node/{node.slug}/"
    return tuple(
        route.name for route in routes if any(target["target"].startswith(prefix) for target in route.targets)
    )
