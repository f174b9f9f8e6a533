"""Keeps a `Fleet` up to date from Redis: hears of changes as they are said, and reads everything again at times.

With Redis away the fleet keeps what it knew until that expires; what this process itself holds is told to the fleet
directly, by whoever holds it.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

import msgspec
import redis.asyncio as aioredis
from redis.exceptions import RedisError

from nodes.announcements import PRESENCE, PRESENCE_PREFIX
from nodes.fleet import Fleet, Presence

RETRY_S = 1.0
_AT_ONCE = 500
_LIVES_MS = """
local lives = {}
for number, key in ipairs(KEYS) do lives[number] = redis.call('PTTL', key) end
return table.concat(lives, ' ')
"""
"""In one piece: a command for each key, or an answer with a part for each, doubles what reading all of them costs."""

logger = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(Presence).decode


async def watch(redis_url: str, fleet: Fleet) -> None:
    """For ever; reconnects when Redis comes back."""
    while True:
        try:
            await _watch_once(redis_url, fleet)
        except (RedisError, OSError) as error:
            logger.warning("not hearing of nodes: %s", error)
        await asyncio.sleep(RETRY_S)


async def _watch_once(redis_url: str, fleet: Fleet) -> None:
    async with aioredis.Redis.from_url(redis_url, health_check_interval=10) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(PRESENCE)
        due = monotonic()
        while True:
            if monotonic() >= due:
                await read_all(client, fleet)
                due = monotonic() + fleet.heartbeat.every_s
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=max(due - monotonic(), 0.01))
            if message is not None and (presence := _presence_in(message["data"])) is not None:
                fleet.note(presence, monotonic())


async def read_all(client: aioredis.Redis, fleet: Fleet) -> None:
    """Replaces what the fleet knows by what Redis holds."""
    found: dict[str, tuple[Presence, float]] = {}
    keys = [key async for key in client.scan_iter(match=f"{PRESENCE_PREFIX}*", count=_AT_ONCE)]
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.mget(part)
            pipeline.eval(_LIVES_MS, len(part), *part)
            values, lives_ms = await pipeline.execute()
        for value, life_ms in zip(values, map(int, lives_ms.split()), strict=True):
            presence = _presence_in(value) if value is not None and life_ms > 0 else None
            if presence is not None:
                found[presence.node] = (presence, life_ms / 1000)
    fleet.replace(found, monotonic())


def _presence_in(data: bytes) -> Presence | None:
    try:
        return _decode(data)
    except msgspec.DecodeError:
        logger.warning("a word about a node could not be read")
        return None
