"""What an organisation can call: the models served by its own connections and by the platform's."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from accounts.models import Organization
from console.snippets import PLACEHOLDER_MODEL
from console.visit import Visit
from providers.models import Connection, ServedModel
from routing.models import Route


def connections_in_sight(organization: Organization) -> QuerySet[Connection]:
    return Connection.objects.filter(Q(org=organization) | Q(org=None))


def served_in_sight(organization: Organization) -> QuerySet[ServedModel]:
    """Enabled models at enabled connections."""
    own = Q(org=organization) | Q(org=None)
    return ServedModel.objects.filter(own, enabled=True, connection__enabled=True).select_related("connection")


def model_names(visit: Visit) -> list[str]:
    """Routes first, since they are what the organisation chose itself; then models by name."""
    routes = Route.objects.of(visit.organization).filter(enabled=True).order_by("name")
    served = served_in_sight(visit.organization).filter(kind="chat").order_by("model_id")
    names = [*routes.values_list("name", flat=True), *served.values_list("model_id", flat=True)]
    return list(dict.fromkeys(names))


def first_model(visit: Visit) -> str:
    names = model_names(visit)
    return names[0] if names else PLACEHOLDER_MODEL
