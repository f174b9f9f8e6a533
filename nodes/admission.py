"""What the holder of a node's socket asks of PostgreSQL: may it come in, as which connection, with which settings.

Plain synchronous queries: call them off the event loop. Nothing here grows an organisation's version, for who is
connected is no configuration.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from nodes.models import Node, NodeModel


class Standing(msgspec.Struct, frozen=True):
    """A node as its owner's rows have it. `config` is what the console sends in SETTINGS."""

    id: int
    public_id: str
    org_id: int
    public_key: bytes
    origin: str
    revoked: bool
    slots: int
    config: dict[str, Any]


def load_standing(public_id: str) -> Standing | None:
    """None for an id that was never given out, and for a node of a deleted organisation."""
    return next(iter(load_standings([public_id])), None)


def load_standings(public_ids: Collection[str]) -> list[Standing]:
    """For the poll that finds what an announcement did not tell. Two queries, whatever the number."""
    nodes = list(Node.objects.filter(public_id__in=public_ids, org__deleted_at=None))
    offered: dict[int, list[str]] = {node.pk: [] for node in nodes}
    served = NodeModel.objects.filter(node__in=nodes, advertised=True).order_by("upstream_id")
    for node_id, upstream_id in served.values_list("node_id", "upstream_id"):
        offered[node_id].append(upstream_id)
    return [_standing(node, offered[node.pk]) for node in nodes]


def open_connection(node_id: int, version: str) -> int:
    """Notes that a node proved itself. Returns the generation of this connection: higher than any before."""
    now = timezone.now()
    rows = Node.objects.filter(pk=node_id)
    with transaction.atomic():  # the update locks the row until it is read
        rows.update(
            generation=F("generation") + 1,
            version=version[:40],
            first_seen_at=Coalesce("first_seen_at", now),
            last_seen_at=now,
        )
        return rows.values_list("generation", flat=True).get()


def note_seen(public_ids: Iterable[str], at: datetime | None = None) -> None:
    """One statement, for all that this process holds; a minute apart is often enough."""
    Node.objects.filter(public_id__in=list(public_ids)).update(last_seen_at=at or timezone.now())


def config_of(node: Node, offered: list[str]) -> dict[str, Any]:
    """`offered`: the upstream ids that the owner ticked; None is sent where whatever is found is offered."""
    return {
        "paused": node.paused,
        "mode": node.mode,
        "models": None if node.advertise_new else offered,
        "idle": {
            "quiet_minutes": node.quiet_minutes,
            "gpu_below": node.gpu_below,
            "calendar": node.calendar,
            "time_zone": node.time_zone,
        },
        "max_concurrent": node.max_concurrent,
    }


def _standing(node: Node, offered: list[str]) -> Standing:
    return Standing(
        id=node.pk,
        public_id=node.public_id,
        org_id=node.org_id,
        public_key=bytes(node.public_key),
        origin=node.origin,
        revoked=node.revoked_at is not None,
        slots=node.max_concurrent,
        config=config_of(node, offered),
    )
