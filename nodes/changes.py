"""What every change of a node does besides the change: who may, the audit trail, word to whoever must know.

Machines that others may use are in the others' snapshots as well, so a change of one grows the version of every
organisation that sees it, before or after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connection as database
from django.db import transaction
from django.db.models import F

from accounts import audit, authority, events
from accounts.audit import Actor
from accounts.changes import changing as changing_organization
from accounts.models import Organization
from accounts.roles import Permission
from nodes import announcements
from nodes.models import COMMUNITY, SHARED, Node, NodeModel

_NODES_LOCK = 7_165_002


@contextmanager
def changing(org: Organization, actor: Actor) -> Iterator[Organization]:
    """The transaction of a change to nodes.

    A change may touch other organisations' versions. Two owners who share with each other would lock the two rows in
    different orders, hence one change at a time in the whole house: they are rare and take milliseconds.

    Raises:
        NotPermitted, OrganizationGone.
    """
    with transaction.atomic():
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_NODES_LOCK])
        with changing_organization(org) as held:
            authority.require(held, actor, Permission.MANAGE_NODES)
            yield held


def guests_of(node: Node) -> set[int]:
    """The other organisations in whose snapshots the node is."""
    if node.revoked_at is not None or node.visibility not in (SHARED, COMMUNITY):
        return set()
    if node.visibility == SHARED:
        return set(node.shares.values_list("guest_id", flat=True))
    users = Organization.objects.filter(uses_community_nodes=True, deleted_at=None).exclude(pk=node.org_id)
    return set(users.values_list("pk", flat=True))


def tell_guests(org_ids: set[int]) -> None:
    """Grows their versions; inside `changing`."""
    Organization.objects.filter(pk__in=org_ids).update(version=F("version") + 1)
    for org_id in org_ids:
        transaction.on_commit(lambda org_id=org_id: events.publish(org_id))  # type: ignore[misc]


def announce_changed(node: Node) -> None:
    """After commit: whoever holds the node's socket sends it its new settings."""
    transaction.on_commit(lambda: events.announce(announcements.CHANGED, node.public_id))


def announce_revoked(node: Node) -> None:
    """After commit: whoever holds the node's socket closes it."""
    transaction.on_commit(lambda: events.announce(announcements.REVOKED, node.public_id))


def record(
    node: Node,
    actor: Actor,
    action: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    audit.record(node.org, actor, action, "node", node.public_id, label=node.name, before=before, after=after)


def said_of(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "slug": node.slug,
        "tags": node.tags,
        "visibility": node.visibility,
        "paused": node.paused,
        "draining": node.draining_since is not None,
        "max_concurrent": node.max_concurrent,
        "priority": node.priority,
        "advertise_new": node.advertise_new,
        "mode": node.mode,
        "quiet_minutes": node.quiet_minutes,
        "gpu_below": node.gpu_below,
        "calendar": node.calendar,
        "time_zone": node.time_zone,
    }


def said_of_model(model: NodeModel) -> dict[str, Any]:
    return {
        "model": model.model_id,
        "upstream": model.upstream_id,
        "kind": model.kind,
        "advertised": model.advertised,
        "for_others": model.for_others,
        "input_price_nanos": model.input_price_nanos,
        "output_price_nanos": model.output_price_nanos,
        "price_tiers": [dict(tier) for tier in model.price_tiers],
        "price_version": model.price_version,
    }


def said_of_models(node: Node) -> dict[str, Any]:
    return {model.upstream_id: said_of_model(model) for model in node.served_models.all()}
