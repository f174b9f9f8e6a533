"""Machines as pages show them: rows, joined with what is known of each at this moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.utils import timezone

from accounts.models import Organization
from console import words
from metering.served import requests_served
from nodes import services
from nodes.fleet import Presence
from nodes.ladder import Facts, Reason, Rung, facts_of, ladder, why_not_routable
from nodes.models import Node, NodeModel
from nodes.reports import Gpu, Report
from nodes.sightings import presences_of, vitals_of
from nodes.sources import target_id_of
from nodes.states import status_of
from providers.states import Condition, Known, states_of

MOST_NODES = 5000
"""So many of one organisation are looked at; it is far more than one page of people's time."""

ATTENTION = "attention"
"""Connected and willing, and yet not routable: the reasons say why."""

STATES = ("online", "busy", ATTENTION, "draining", "paused", "offline", "waiting", "revoked")
TONES = {
    "online": "ok",
    "busy": "info",
    ATTENTION: "warn",
    "draining": "warn",
    "paused": "off",
    "offline": "bad",
    "waiting": "info",
    "revoked": "off",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """One node. `requests_today` is None where nobody counted, `earned` (nano-USD in 30 days) where nobody looked."""

    node: Node
    presence: Presence | None = None
    report: Report | None = None
    requests_today: int | None = None
    earned: int | None = None
    out_of_use: frozenset[int] = frozenset()
    """Which of its models people hold out of use, or their failures do."""

    @property
    def status(self) -> str:
        status = status_of(self.node, self.presence)
        lacks_server = status == "busy" and self.presence is not None and self.presence.reason == "no_local_server"
        return ATTENTION if lacks_server or (status == "online" and self.reasons) else status

    @property
    def tone(self) -> str:
        return TONES[self.status]

    @property
    def word(self) -> str:
        """For one that is busy, with what."""
        if self.status == "busy" and self.presence is not None:
            return words.busy_with(self.presence.reason or "")
        return words.machine_status(self.status)

    @property
    def is_connected(self) -> bool:
        return self.presence is not None

    @property
    def reasons(self) -> list[Reason]:
        return why_not_routable(self._facts)

    @property
    def rungs(self) -> list[Rung]:
        return ladder(self._facts)

    @property
    def _facts(self) -> Facts:
        return facts_of(self.node, self.presence, self.out_of_use)

    @property
    def is_routable(self) -> bool:
        return not self.reasons

    @property
    def models(self) -> list[NodeModel]:
        return sorted(self.node.served_models.all(), key=lambda row: (not row.advertised, row.model_id))

    @property
    def offered(self) -> list[NodeModel]:
        return [row for row in self.models if row.advertised and row.present]

    @property
    def gpus(self) -> Sequence[Gpu]:
        return self.report.vitals.gpu if self.report and self.report.vitals else []

    @property
    def vram_bytes(self) -> int:
        return sum(gpu.vram_total_bytes or 0 for gpu in self.gpus)

    @property
    def in_flight(self) -> int:
        return self.presence.in_flight if self.presence else 0


def machines_of(
    organization: Organization, *, q: str = "", os: str = "", mode: str = "", token: str = "", tag: str = ""
) -> list[Machine]:
    """Those that were not removed, by name, with what Redis knows of each."""
    nodes = services.nodes_of(organization).select_related("enrolled_with").prefetch_related("served_models")
    wanted = {"os": os, "mode": mode, "enrolled_with__public_id": token}
    nodes = nodes.filter(**{name: value for name, value in wanted.items() if value})
    nodes = nodes.filter(tags__contains=[tag]) if tag else nodes
    found = [node for node in nodes.order_by("name", "pk")[:MOST_NODES] if _bears(node, q.lower().split())]
    return seen_now(found)


@dataclass(frozen=True, slots=True)
class Connected:
    """How many machines there are, and how many of them take requests or could."""

    total: int
    connected: int
    accepting: int


def connected_of(organization: Organization) -> Connected:
    """Without looking at each closely."""
    nodes = services.nodes_of(organization).filter(revoked_at=None)
    paused = dict(nodes.values_list("public_id", "paused")[:MOST_NODES])
    presences = presences_of(list(paused))
    accepting = sum(presence.accepting and not paused[node] for node, presence in presences.items())
    return Connected(len(paused), len(presences), accepting)


def seen_now(nodes: Sequence[Node]) -> list[Machine]:
    ids = [node.public_id for node in nodes]
    presences = presences_of(ids)
    reports = vitals_of(list(presences))
    out = out_of_use(nodes)
    return [
        Machine(node, presences.get(node.public_id), reports.get(node.public_id), out_of_use=out) for node in nodes
    ]


def counted(machines: Iterable[Machine]) -> list[Machine]:
    """With today's requests, those of other organisations among them."""
    machines = list(machines)
    targets = {target_id_of(row): each.node.pk for each in machines for row in each.node.served_models.all()}
    by_node: dict[int, int] = {}
    for target, requests in requests_served(list(targets), midnight()).items():
        by_node[targets[target]] = by_node.get(targets[target], 0) + requests
    return [replace(each, requests_today=by_node.get(each.node.pk, 0)) for each in machines]


def out_of_use(nodes: Iterable[Node]) -> frozenset[int]:
    """Ids of their models whose breakers are open, or held open by a person."""
    models = {target_id_of(row): row.pk for node in nodes for row in node.served_models.all()}
    states = states_of(dict.fromkeys(models, 0), Known({}, {})) if models else {}
    return frozenset(models[target] for target, state in states.items() if state.condition is not Condition.CLOSED)


def midnight() -> datetime:
    """In UTC, as budgets count."""
    return datetime.combine(timezone.now().astimezone(UTC).date(), datetime.min.time(), UTC)


def _bears(node: Node, wanted: list[str]) -> bool:
    names = [node.name, node.slug, node.hostname, *node.tags, *(row.model_id for row in node.served_models.all())]
    text = " ".join(names).lower()
    return all(word in text for word in wanted)
