"""The targets that an organisation can see, each with its shared state of health: for pages and the API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from accounts.models import Organization
from console.offers import machines_in_sight
from nodes.models import NodeModel
from nodes.sources import target_id_of
from providers.breakers import history_of
from providers.models import Connection, HealthChange, Pulse, ServedModel
from providers.states import Known, TargetState, states_of


@dataclass(frozen=True, slots=True)
class SeenTarget:
    """One model at one provider or machine, as `organization` calls it. `connection_id` is 0 for a machine's."""

    row: ServedModel | NodeModel
    target_id: int
    connection_id: int
    name: str
    is_own: bool

    @property
    def state(self) -> TargetState:
        return states_of({self.target_id: self.connection_id})[self.target_id]

    @property
    def pulse(self) -> Pulse | None:
        return Pulse.objects.filter(connection=self.connection_id).first() if self.connection_id else None

    def history(self, most: int = 50) -> list[HealthChange]:
        return [
            told(change, tells_all=self.is_own) for change in history_of(self.target_id, self.connection_id, most)
        ]


def told(change: HealthChange, *, tells_all: bool) -> HealthChange:
    """Of what belongs to others the codes are told, not what their servers and people said."""
    if not tells_all:
        change.detail = change.actor_label = change.credential = ""
    return change


def changes_of(connection: Connection, *, tells_all: bool, most: int = 12) -> list[HealthChange]:
    """Of a provider and all its models, newest first."""
    rows = HealthChange.objects.filter(connection_id=connection.pk).order_by("-pk")[:most]
    return [told(change, tells_all=tells_all) for change in rows]


def changes_of_machines(target_ids: Iterable[int], *, most: int = 12) -> list[HealthChange]:
    """Of models of own machines, newest first."""
    return list(HealthChange.objects.filter(target_id__in=list(target_ids)).order_by("-pk")[:most])


def find_target(organization: Organization, public_id: str) -> SeenTarget | None:
    """By the public id of what serves it."""
    own_or_platform = Q(org=organization) | Q(org=None)
    served = (
        ServedModel.objects.filter(own_or_platform, public_id=public_id).select_related("connection__org").first()
    )
    if served is not None:
        name = f"{served.connection.slug}/{served.model_id}"
        return SeenTarget(served, served.pk, served.connection_id, name, served.org_id is not None)
    for target, row in machines_in_sight(organization):
        if row.public_id == public_id:
            return SeenTarget(row, target.id, 0, target.name, target.org_id == organization.pk)
    return None


def find_own(organization: Organization, public_id: str) -> ServedModel | NodeModel | None:
    """One whose health is this organisation's to set."""
    served = ServedModel.objects.of(organization).filter(public_id=public_id)
    machines = NodeModel.objects.of(organization).filter(public_id=public_id, node__revoked_at=None)
    return served.select_related("connection__org").first() or machines.select_related("node__org").first()


def states_of_served(models: Iterable[ServedModel], known: Known | None = None) -> dict[int, TargetState]:
    """By primary key."""
    return states_of({model.pk: model.connection_id for model in models}, known)


def states_of_machines(rows: Iterable[NodeModel]) -> dict[int, TargetState]:
    """By the id of the target."""
    return states_of({target_id_of(row): 0 for row in rows}, Known({}, {}))
