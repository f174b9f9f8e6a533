"""Where entries lie: in this process, bounded by bytes, and packed in Redis, which all processes share.

Redis away means a miss.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from time import time

from routing.cache_entries import Entry, packed, unpacked
from routing.redis_door import Door, RedisAway
from routing.similar_shelf import Questions

MEMORY_BYTES = 32 << 20
_LARGE_BYTES = 64 * 1024
_OVERHEAD_BYTES = 512


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
        self._door = Door(redis_url, "the cache")
        self.questions = Questions(self._door)

    @property
    def is_up(self) -> bool:
        return self._door.is_up

    async def find(self, org_id: int, digest: bytes) -> Entry | None:
        if not self.is_up:
            return None
        try:
            data = await self._door.ask(self._door.redis.get(key_of(org_id, digest)))
        except RedisAway:
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
        with suppress(RedisAway):
            await self._door.ask(self._door.redis.set(key_of(org_id, digest), data, ex=left_s))

    async def aclose(self) -> None:
        await self._door.aclose()


def key_of(org_id: int, digest: bytes) -> str:
    return f"shareai:cache:{org_id}:{digest.hex()}"
