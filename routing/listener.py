"""Hears from Redis that an organisation changed. Missing a message is harmless: polling finds the change too."""

from __future__ import annotations

import asyncio
import logging

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from accounts.channel import CHANNEL
from routing.snapshots import Snapshots

RETRY_S = 1.0

logger = logging.getLogger(__name__)


async def listen(redis_url: str, snapshots: Snapshots) -> None:
    """For ever; reconnects when Redis comes back."""
    while True:
        try:
            await _listen_once(redis_url, snapshots)
        except (RedisError, OSError) as error:
            logger.warning("not hearing of changes, polling only: %s", error)
        await asyncio.sleep(RETRY_S)


async def _listen_once(redis_url: str, snapshots: Snapshots) -> None:
    async with aioredis.Redis.from_url(redis_url, health_check_interval=10) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        async for message in pubsub.listen():
            if message["type"] == "message" and message["data"].isdigit():
                snapshots.heed(int(message["data"]))
