"""What an organisation can call: the models served by its own connections, the platform's, and machines."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q, QuerySet

from accounts.models import Organization
from console.snippets import PLACEHOLDER_MODEL
from console.visit import Visit
from nodes.models import NodeModel
from nodes.sources import load_targets, target_id_of
from providers.models import Connection, ServedModel
from providers.targets import Target
from routing.models import Route


def connections_in_sight(organization: Organization) -> QuerySet[Connection]:
    return Connection.objects.filter(Q(org=organization) | Q(org=None))


def served_in_sight(organization: Organization) -> QuerySet[ServedModel]:
    """Enabled models at enabled connections."""
    own = Q(org=organization) | Q(org=None)
    return ServedModel.objects.filter(own, enabled=True, connection__enabled=True).select_related("connection")


def machines_in_sight(organization: Organization) -> list[tuple[Target, NodeModel]]:
    """Models offered by own machines, and by those of others that it may use."""
    targets = load_targets(organization.pk, uses_community=organization.uses_community_nodes)
    rows = {target_id_of(row): row for row in NodeModel.objects.filter(pk__in=[-target.id for target in targets])}
    return [(target, rows[target.id]) for target in targets if target.id in rows]


def model_names(visit: Visit) -> list[str]:
    """Routes first, since they are what the organisation chose itself; then models by name."""
    served = served_in_sight(visit.organization).filter(kind="chat").order_by("model_id")
    machines = [
        target.name if target.named_only else target.model_id
        for target in load_targets(visit.organization.pk, uses_community=visit.organization.uses_community_nodes)
        if target.kind == "chat"
    ]
    models = sorted([*served.values_list("model_id", flat=True), *machines])
    return list(dict.fromkeys([*_route_names(visit), *models]))


def names_among(visit: Visit, targets: Iterable[Target]) -> list[str]:
    """The same, for who has read all targets already."""
    chat = (target for target in targets if target.kind == "chat")
    models = sorted(target.name if target.named_only else target.model_id for target in chat)
    return list(dict.fromkeys([*_route_names(visit), *models]))


def _route_names(visit: Visit) -> list[str]:
    routes = Route.objects.of(visit.organization).filter(enabled=True).order_by("name")
    return list(routes.values_list("name", flat=True))


def is_pinned(visit: Visit, name: str) -> bool:
    """Whether `name` pins a model on one machine that the organisation may use."""
    targets = load_targets(visit.organization.pk, uses_community=visit.organization.uses_community_nodes)
    return any(target.name == name for target in targets)


def served_models(organization: Organization) -> set[str]:
    """The models that somebody serves to the organisation, by their public names; routes are none."""
    machines = load_targets(organization.pk, uses_community=organization.uses_community_nodes)
    clouds = served_in_sight(organization).values_list("model_id", flat=True)
    return {*clouds, *(target.model_id for target in machines)}


def first_model(visit: Visit) -> str:
    names = model_names(visit)
    return names[0] if names else PLACEHOLDER_MODEL
