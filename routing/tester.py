"""The route tester of the control plane: explains from the rows as they are now, with what this process has seen.

Never on the path of a request.
"""

from __future__ import annotations

from time import monotonic

from django.conf import settings

from accounts.models import Organization
from common.errors import ModelNotFound
from nodes.fleet import Fleet
from providers.schema import Call
from providers.targets import Target
from providers.transport import Deadlines
from routing.canary_draw import without_canaries
from routing.explanation import Explanation, explain, refused
from routing.health import Health
from routing.health_news import apply_shared
from routing.health_rows import load_shared_health
from routing.planner import Planner
from routing.snapshots import OrgSnapshot
from routing.sources import load_snapshot, load_targets
from routing.wiring import find_plane


def explain_call(organization: Organization, call: Call, key_id: str = "") -> Explanation:
    """A name that leads nowhere is explained as the refusal that it would get."""
    return explain_in(snapshot_now(organization), call, key_id)


def explain_in(snapshot: OrgSnapshot, call: Call, key_id: str = "") -> Explanation:
    """As if the call came with the key of this public id.

    In a process without a data plane no more is known of health than all share, and own machines count as away.
    """
    planner, health = _planner_here()
    try:
        return explain(planner, health, call, snapshot, monotonic(), key_id)
    except ModelNotFound as refusal:
        return refused(call, snapshot, refusal)


def _planner_here() -> tuple[Planner, Health]:
    plane = find_plane()
    if plane is not None:
        return plane.planner, plane.health
    health = Health()
    apply_shared(load_shared_health(), health, {})
    return Planner(health, Deadlines(**settings.DEADLINES), Fleet()), health


def targets_now(organization: Organization) -> dict[str, Target]:
    """All that the organisation may use, by name: a third of what a whole snapshot reads."""
    return {target.name: target for target in load_targets(organization.pk, organization.uses_community_nodes)}


def snapshot_now(organization: Organization) -> OrgSnapshot:
    snapshot = load_snapshot(organization.pk)
    assert snapshot is not None  # whoever asks is a member of it
    return without_canaries(snapshot)
