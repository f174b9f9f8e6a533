"""What was asked lately, told between processes through Redis: each question's direction, and the key of its answer.

Each organisation has a stream for everything that has to be equal, and one list of these streams by when they were
last written to. Whoever compares reads what came since it last looked. Redis away, each process knows its own.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterable
from time import time
from typing import Any

import msgspec

from routing.redis_door import Door, RedisAway
from routing.similar import BEGINNING, MOST_ALIKE, MOST_FILTERS_OF_ONE, Vector, vector_of

_FEW = 4
_DIGEST, _DIRECTION = b"d", b"v"


class News(msgspec.Struct, frozen=True, gc=False):
    """`heard` is how far the stream was read; `questions` are digests with their directions, the oldest first."""

    heard: bytes
    questions: list[tuple[bytes, Vector[float]]]


class Questions:
    """At most as many of an organisation as the index of a process holds."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def since(self, org_id: int, named: bytes, heard: bytes) -> News:
        """What was told after `heard`. Fails: to nothing new."""
        if not self._door.is_up:
            return News(heard, [])
        after = heard if heard == BEGINNING else b"(" + heard
        try:
            told = await self._door.ask(self._door.redis.xrange(_stream(org_id, named), after, "+", MOST_ALIKE))
        except RedisAway:
            return News(heard, [])
        if not told:
            return News(heard, [])
        read = await asyncio.to_thread(_read, told) if len(told) > _FEW else _read(told)
        return News(told[-1][0], read)

    async def tell(self, org_id: int, named: bytes, digest: bytes, vector: Vector[float], ttl_s: int) -> None:
        """Returns when others will hear of it, or when Redis turns out to be away. It is forgotten after `ttl_s`."""
        if not self._door.is_up:
            return
        stream, streams = _stream(org_id, named), f"shareai:alike:{org_id}"
        asked = {_DIGEST: digest, _DIRECTION: packed(vector)}
        pipe = self._door.redis.pipeline(transaction=False)
        pipe.xadd(stream, asked, maxlen=MOST_ALIKE, approximate=False)  # type: ignore[arg-type]
        pipe.expire(stream, ttl_s)
        pipe.zadd(streams, {stream: time()})
        pipe.expire(streams, ttl_s)
        pipe.zrange(streams, 0, -(MOST_FILTERS_OF_ONE + 1))
        try:
            *_, too_many = await self._door.ask(pipe.execute())
            if too_many:
                await self._door.ask(self._forget(streams, too_many))
        except RedisAway:
            return

    async def _forget(self, streams: str, names: list[bytes]) -> None:
        pipe = self._door.redis.pipeline(transaction=False)
        pipe.unlink(*names)
        pipe.zrem(streams, *names)
        await pipe.execute()


def packed(vector: Vector[float]) -> bytes:
    """A byte for each number: its direction to within a ten-thousandth of a cosine, in a quarter of the space."""
    most = max(map(abs, vector))
    return array("b", (round(number * 127 / most) for number in vector)).tobytes()


def unpacked(data: bytes) -> Vector[float] | None:
    """None for what is no direction."""
    return vector_of(array("b", data))


def _read(told: Iterable[tuple[bytes, dict[bytes, Any]]]) -> list[tuple[bytes, Vector[float]]]:
    read = []
    for _, fields in told:
        digest, vector = fields.get(_DIGEST), unpacked(fields.get(_DIRECTION, b""))
        if digest and vector is not None:
            read.append((digest, vector))
    return read


def _stream(org_id: int, named: bytes) -> str:
    return f"shareai:alike:{org_id}:{named.hex()}"
