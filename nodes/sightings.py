"""What Redis knows of nodes at this moment, for pages and the management API. Synchronous.

Fails open: with Redis away nobody is seen, and pages say that a machine is not connected.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

import msgspec
import redis

from accounts.events import client
from nodes.announcements import PRESENCE_PREFIX, VITALS_PREFIX
from nodes.fleet import Presence
from nodes.history import HISTORY_PREFIX, Sample, samples_in
from nodes.reports import Report

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=msgspec.Struct)


def presences_of(public_ids: Sequence[str]) -> dict[str, Presence]:
    """Of those that are connected."""
    found = _read(PRESENCE_PREFIX, public_ids, Presence)
    return {node: presence for node, presence in found.items() if presence.connected}


def vitals_of(public_ids: Sequence[str]) -> dict[str, Report]:
    """State and vitals, as each last told."""
    return _read(VITALS_PREFIX, public_ids, Report)


def history_of(public_id: str) -> list[Sample]:
    """The last hour, the oldest sample first."""
    try:
        return samples_in(client().lrange(HISTORY_PREFIX + public_id, 0, -1))
    except (redis.RedisError, msgspec.DecodeError):
        logger.warning("the history of node %s could not be read", public_id)
        return []


def _read(prefix: str, public_ids: Sequence[str], kind: type[S]) -> dict[str, S]:
    if not public_ids:
        return {}
    try:
        values = client().mget([prefix + node for node in public_ids])
    except redis.RedisError:
        logger.warning("nobody knows which nodes are connected: Redis is away")
        return {}
    pairs = zip(public_ids, values, strict=True)
    return {node: said for node, value in pairs if value is not None and (said := _decoded(value, kind)) is not None}


def _decoded(value: bytes | str, kind: type[S]) -> S | None:
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.DecodeError:
        logger.warning("a word about a node could not be read")
        return None
