"""How a machine stands at this moment, in one word; `nodes.ladder` tells more."""

from __future__ import annotations

from nodes.fleet import Presence
from nodes.models import Node

STATUSES = ("waiting", "online", "busy", "draining", "paused", "offline", "revoked")


def status_of(node: Node, presence: Presence | None) -> str:
    """
    Args:
        presence: None for a node that is not connected.
    """
    if node.revoked_at is not None:
        return "revoked"
    if presence is None:
        return "offline" if node.first_seen_at else "waiting"
    if node.paused:
        return "draining" if node.draining_since and presence.in_flight else "paused"
    return "online" if presence.accepting else "busy"
