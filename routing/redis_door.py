"""Redis as an aid that may be away. Only a request that finds it gone waits, and shortly; until a probe has found it
back, nobody asks it anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

MOST_CONNECTIONS = 16
ANSWER_S = 0.25
PROBE_S = 1.0

logger = logging.getLogger(__name__)


class RedisAway(Exception):
    """It did not answer, or not in time; whether it did what it was asked nobody knows."""


class Door:
    """Args: whose: what goes on without Redis, for the log."""

    def __init__(self, redis_url: str, whose: str) -> None:
        pool: aioredis.BlockingConnectionPool = aioredis.BlockingConnectionPool.from_url(
            redis_url,
            max_connections=MOST_CONNECTIONS,
            timeout=ANSWER_S,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )
        self.redis = aioredis.Redis(connection_pool=pool)
        self._whose = whose
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._probing is None

    async def ask(self, question: Awaitable[Any]) -> Any:
        """Raises: RedisAway. Call it only while `is_up`."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await question
        except (RedisError, OSError) as error:
            self._lost(error)
            raise RedisAway from error

    async def aclose(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
        await self.redis.aclose()

    def _lost(self, error: Exception) -> None:
        if self._probing is None:
            logger.warning("%s: Redis is away: %s", self._whose, error or type(error).__name__)
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_S)
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self.redis.ping()
            except (RedisError, OSError):
                continue
            self._probing = None
            logger.info("%s: Redis is back", self._whose)
            return
