"""How much of each limit is in use at this moment, for pages and the management API. Synchronous; takes nothing.

Fails open: with Redis away nobody knows.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from accounts.events import client
from accounts.models import Limit
from accounts.scopes import LimitRecord
from common.ratelimit import remaining
from metering.bounds import Bound, bounds_of
from metering.gate import PROCESSES

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InUse:
    """One number of one limit. `used` is None where nobody knows; of a rate it falls as time passes."""

    limit: Limit
    bound: Bound
    used: int | None

    @property
    def percent(self) -> int:
        return 100 * (self.used or 0) // self.bound.limit


def in_use(limits: Iterable[Limit]) -> dict[int, list[InUse]]:
    """By the limit's id, in the order of `metering.bounds`. Asks Redis once for all of them."""
    found = {limit.pk: bounds_of(limit.org_id, _record(limit)) for limit in limits}
    rows = {limit.pk: limit for limit in limits}
    used = _used([bound for bounds in found.values() for bound in bounds])
    return {pk: [InUse(rows[pk], bound, used.get(bound.bucket)) for bound in bounds] for pk, bounds in found.items()}


def _record(limit: Limit) -> LimitRecord:
    rates = {name: getattr(limit, name) for name in ("rpm", "rpd", "tpm", "tpd", "concurrency")}
    return LimitRecord(limit.scope, limit.subject, **rates)


def _used(bounds: list[Bound]) -> dict[str, int]:
    """Units by bucket, none of them while Redis is away."""
    if not bounds:
        return {}
    pipe = client().pipeline(transaction=False)
    pipe.time()
    pipe.zrange(PROCESSES, 0, -1, withscores=True)
    for bound in bounds:
        if bound.window_us:
            pipe.get(bound.bucket)
        else:
            pipe.hgetall(bound.bucket)
    try:
        (seconds, micros), processes, *stored = pipe.execute()
    except redis.RedisError:
        logger.warning("nobody knows how much of the limits is in use: Redis is away")
        return {}
    now_us = seconds * 1e6 + micros
    alive = {name for name, until_us in processes if until_us >= now_us}
    pairs = zip(bounds, stored, strict=True)
    return {
        bound.bucket: _units(bound, value, now_us) if bound.window_us else _slots(value, alive)
        for bound, value in pairs
    }


def _units(bound: Bound, stored: bytes | None, now_us: float) -> int:
    """As `limits.lua` writes it: how far ahead the bucket was, and when."""
    if stored is None or len(stored) != 16:
        return 0
    ahead_us, at_us = struct.unpack(">dd", stored)
    return bound.limit - remaining(max(ahead_us - (now_us - at_us), 0.0), bound.limit, bound.window_us)


def _slots(held: Mapping[Any, Any], alive: set[Any]) -> int:
    """What dead processes held counts no more."""
    return sum(int(slots) for process, slots in held.items() if process in alive)
