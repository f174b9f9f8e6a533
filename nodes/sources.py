"""Rows become targets: the machines an organisation may use, in two or three queries. For snapshots only.

Own machines come under `node/<slug>/<model>`; those that another organisation shares under
`node/<its slug>.<slug>/<model>`; those of the community, for organisations that want them, under a handle that
does not tell whose they are. Machines of others answer to a model's bare name only where the organisation uses the
community: nobody may draw another's requests to a machine by naming a model well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Q

from accounts.models import Organization
from common.rates import FinerRates
from nodes.models import COMMUNITY, SHARED, Node, NodeModel, NodeShare
from nodes.services import handle_of
from providers.prefill import GOING_ON_UNASKED, GOING_ON_WHEN_TOLD, PREFILL
from providers.targets import GUEST, OWN, Price, Target
from providers.tiers import rates_of_tiers

TUNNEL = "tunnel"
COMMUNITY_NAME = "Community"
GUEST_PENALTY = 1000
"""Added to the priority of others' machines, so that those who merely order by it come to their own first."""

# A fleet has thousands of rows, of which times and reports are the most.
_OF_NODES = (
    *("org_id", "public_id", "slug", "name", "visibility", "paused", "draining_since"),
    *("max_concurrent", "priority", "exposure_percent"),
)
_OF_MODELS = (
    *("org_id", "node_id", "public_id", "upstream_id", "model_id", "kind", "runtime", "context_tokens"),
    *("capabilities", "present", "for_others", "trial_ok"),
    *("input_price_nanos", "output_price_nanos", "price_tiers", "price_version"),
)


def load_targets(org_id: int, *, uses_community: bool) -> tuple[Target, ...]:
    """
    Returns:
        One target per offered model of a node that is not revoked, ordered by priority, own ones first among equals.
        What cannot serve now by its rows alone (paused, model gone, trial failed) says so in `unroutable`.
    """
    in_sight = Q(org=org_id) | Q(visibility=SHARED, pk__in=_shared_with(org_id))
    if uses_community:
        in_sight |= Q(visibility=COMMUNITY)
    live = Node.objects.filter(in_sight, revoked_at=None, org__deleted_at=None)
    nodes = {node.pk: node for node in live.only(*_OF_NODES)}
    _give_owners([node for node in nodes.values() if node.org_id != org_id and node.visibility == SHARED])
    offered = NodeModel.objects.filter(advertised=True).only(*_OF_MODELS)
    guests = [node.pk for node in nodes.values() if node.org_id != org_id]
    targets = [
        _target(nodes[row.node_id], row, org_id, uses_community)
        for row in offered.filter(Q(org=org_id) | Q(node__in=guests, for_others=True))
        if row.node_id in nodes
    ]
    return tuple(sorted(targets, key=lambda target: (target.priority, target.place, -target.id)))


def target_of(node: Node, row: NodeModel) -> Target:
    """As its owner sees it."""
    return _target(node, row, node.org_id, uses_community=False)


def prefix_of(node: Node, org_id: int) -> str:
    """What stands before a model's name to pin this node, in the eyes of an organisation."""
    if node.org_id == org_id:
        return f"node/{node.slug}"
    if node.visibility == SHARED:
        return f"node/{node.org.slug}.{node.slug}"
    return f"node/{handle_of(node)}"


def target_id_of(row: NodeModel) -> int:
    """Negative, since models of connections have the positive ones."""
    return -row.pk


def _shared_with(org_id: int) -> Iterable[int]:
    return NodeShare.objects.filter(guest=org_id).values_list("node_id", flat=True)


def _give_owners(shared: Sequence[Node]) -> None:
    """Their names say whose they are; nobody else's do."""
    owners = Organization.objects.only("slug").in_bulk({node.org_id for node in shared}) if shared else {}
    for node in shared:
        node.org = owners[node.org_id]


def _target(node: Node, row: NodeModel, org_id: int, uses_community: bool) -> Target:
    is_own = node.org_id == org_id
    prefix = prefix_of(node, org_id)
    return Target(
        id=target_id_of(row),
        name=f"{prefix}/{row.model_id}",
        org_id=node.org_id,
        connection_id=-node.pk,
        connection_slug=prefix,
        connection_name=node.name if is_own or node.visibility == SHARED else COMMUNITY_NAME,
        model_id=row.model_id,
        upstream_id=row.upstream_id,
        adapter="openai",
        transport=TUNNEL,
        base_url=f"node://{node.public_id}",
        credentials=(),
        kind=row.kind,
        price=_price(row),
        priority=node.priority if is_own else node.priority + GUEST_PENALTY,
        context_tokens=row.context_tokens,
        capabilities=frozenset(row.capabilities) | _able_to_go_on(row.runtime),
        options={"runtime": row.runtime} if row.runtime in GOING_ON_WHEN_TOLD else {},
        place=OWN if is_own else GUEST,
        node=node.public_id,
        slots=node.max_concurrent,
        unroutable=_unroutable(node, row),
        named_only=not is_own and not uses_community,
        exposure=1.0 if is_own else node.exposure_percent / 100,
    )


def _price(row: NodeModel) -> Price:
    finer = FinerRates(tiers=rates_of_tiers(row.price_tiers)) if row.price_tiers else None
    return Price(row.input_price_nanos, row.output_price_nanos, version=row.price_version, finer=finer)


def _able_to_go_on(runtime: str) -> frozenset[str]:
    return frozenset({PREFILL}) if runtime in GOING_ON_UNASKED | GOING_ON_WHEN_TOLD else frozenset()


def _unroutable(node: Node, row: NodeModel) -> str:
    if node.paused:
        return "node_draining" if node.draining_since else "node_paused"
    if not row.present:
        return "model_gone"
    return "trial_failed" if row.trial_ok is False else ""
