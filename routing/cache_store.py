"""Where entries lie: in this process, bounded by bytes, and packed in Redis, which all processes share.

Redis away means a miss. Only a request that finds Redis gone waits, and shortly; until a probe has found it back,
nobody asks it anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from time import time
from typing import Any

import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from routing.cache_entries import Entry, packed, unpacked

MEMORY_BYTES = 32 << 20
MOST_CONNECTIONS = 16
ANSWER_S = 0.25
PROBE_S = 1.0
_LARGE_BYTES = 64 * 1024
_OVERHEAD_BYTES = 512

logger = logging.getLogger(__name__)


class Memory:
    """The entries used last, `most_bytes` of them."""

    def __init__(self, most_bytes: int = MEMORY_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def find(self, digest: bytes) -> Entry | None:
        entry = self._entries.get(digest)
        if entry is not None:
            self._entries.move_to_end(digest)
        return entry

    def keep(self, digest: bytes, entry: Entry) -> None:
        self.drop(digest)
        self._entries[digest] = entry
        self._bytes += len(entry.body) + _OVERHEAD_BYTES
        while self._bytes > self._most_bytes:
            self.drop(next(iter(self._entries)))

    def drop(self, digest: bytes) -> None:
        gone = self._entries.pop(digest, None)
        if gone is not None:
            self._bytes -= len(gone.body) + _OVERHEAD_BYTES


class Shelf:
    """Entries in Redis."""

    def __init__(self, redis_url: str) -> None:
        pool: aioredis.BlockingConnectionPool = aioredis.BlockingConnectionPool.from_url(
            redis_url,
            max_connections=MOST_CONNECTIONS,
            timeout=ANSWER_S,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = aioredis.Redis(connection_pool=pool)
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._probing is None

    async def find(self, org_id: int, digest: bytes) -> Entry | None:
        if not self.is_up:
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                data: Any = await self._redis.get(key_of(org_id, digest))
        except (RedisError, OSError) as error:
            self._lost(error)
            return None
        if data is None:
            return None
        return await asyncio.to_thread(unpacked, data) if len(data) > _LARGE_BYTES else unpacked(data)

    async def keep(self, org_id: int, digest: bytes, entry: Entry, ttl_s: int) -> None:
        """Returns when other processes will find it, or when Redis turns out to be away."""
        if not self.is_up:
            return
        data = await asyncio.to_thread(packed, entry) if len(entry.body) > _LARGE_BYTES else packed(entry)
        left_s = round(ttl_s - entry.age_s(time()))
        if left_s <= 0:
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._redis.set(key_of(org_id, digest), data, ex=left_s)
        except (RedisError, OSError) as error:
            self._lost(error)

    async def aclose(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
        await self._redis.aclose()

    def _lost(self, error: Exception) -> None:
        if self._probing is None:
            logger.warning("the cache goes on without Redis: %s", error or type(error).__name__)
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_S)
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._redis.ping()
            except (RedisError, OSError):
                continue
            self._probing = None
            logger.info("the cache has Redis again")
            return


def key_of(org_id: int, digest: bytes) -> str:
    return f"shareai:cache:{org_id}:{digest.hex()}"
