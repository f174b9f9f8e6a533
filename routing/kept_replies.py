"""Who answers under an idempotency key, and what was answered: in Redis, for all processes alike.

    (nothing) ──claim──► running ──keep──► answered, for a day        running ──release──► (nothing)

`running` is a lease that its process renews. What ends a lease names the fence that it was given with: a process that
was asleep for so long that another one took its place changes nothing any more.

An answer is sealed, since those too are kept that are private, or that their caller wants forgotten: the promise to
give the same answer again holds for them as for all, and Redis is no place for what others may not read.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from common.errors import IdempotencyInProgress, IdempotencyKeyReused, TemporarilyUnavailable
from common.secrets import KeyRing, SecretsError
from routing.redis_door import Door, RedisAway

LEASE_S = 15.0
RENEW_S = 5.0
KEPT_S = 24 * 3600
MOST_REPLY_BYTES = 4 << 20
RETRY_AFTER_S = 1.0
_LARGE_BYTES = 64 * 1024
_NO_ANSWER = b"\0"
"""In the place of an answer that is too large to be kept."""
_PACKED_ONLY = b"x"
"""What begins so was kept by an earlier release, which did not seal."""

_CLAIM = """
local known = redis.call('HMGET', KEYS[1], 'asked', 'answer')
if not known[1] then
  redis.call('HSET', KEYS[1], 'asked', ARGV[1], 'fence', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {'claimed'}
end
if known[1] ~= ARGV[1] then return {'reused'} end
if not known[2] then return {'running'} end
return {'answered', known[2]}
"""
_KEEP = """
local fence = redis.call('HGET', KEYS[1], 'fence')
if fence and fence ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'asked', ARGV[1], 'fence', ARGV[2], 'answer', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""
_RELEASE = """
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
_RENEW = """
for at, key in ipairs(KEYS) do
  if redis.call('HGET', key, 'fence') == ARGV[at + 1] then redis.call('PEXPIRE', key, ARGV[1]) end
end
"""


class KeptReply(msgspec.Struct, frozen=True, array_like=True):
    """What a caller was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Claim(msgspec.Struct, frozen=True):
    """`place` is the key in Redis: of one organisation, API key and idempotency key; `asked` a digest of the request,
    `fence` the id of the one request that this claim is for."""

    place: str
    asked: bytes
    fence: bytes


class KeptReplies:
    def __init__(self, redis_url: str, keyring: KeyRing) -> None:
        self._keyring = keyring
        self._door = Door(redis_url, "idempotency keys")
        redis = self._door.redis
        self._claim, self._keep = redis.register_script(_CLAIM), redis.register_script(_KEEP)
        self._release, self._renew = redis.register_script(_RELEASE), redis.register_script(_RENEW)

    async def claim(self, claim: Claim) -> KeptReply | None:
        """What was answered before, or None: the caller may go on, and must `keep` or `release`.

        Raises:
            IdempotencyInProgress: somebody else is at it.
            IdempotencyKeyReused: the key was used for another request, or for one whose answer cannot be given again.
            TemporarilyUnavailable: Redis is away, so nobody knows.
        """
        if not self._door.is_up:
            raise _unknown()
        words: list[bytes | int] = [claim.asked, claim.fence, round(LEASE_S * 1000)]
        try:
            told: Any = await self._door.ask(self._claim(keys=[claim.place], args=words))
        except RedisAway as away:
            raise _unknown() from away
        match told:
            case [b"claimed"]:
                return None
            case [b"answered", data]:
                return await self._opened(data, claim.place)
            case [b"reused"]:
                raise IdempotencyKeyReused
        raise IdempotencyInProgress(retry_after_s=RETRY_AFTER_S)

    async def keep(self, claim: Claim, reply: KeptReply | None) -> bool:
        """None stands for an answer that is too large. False: Redis is away."""
        data = _NO_ANSWER
        if reply is not None and len(reply.body) <= MOST_REPLY_BYTES:
            is_large = len(reply.body) > _LARGE_BYTES
            place = claim.place
            data = await asyncio.to_thread(self._sealed, reply, place) if is_large else self._sealed(reply, place)
        words: list[bytes | int] = [claim.asked, claim.fence, data, KEPT_S * 1000]
        return await self._told(self._keep(keys=[claim.place], args=words))

    async def release(self, claim: Claim) -> bool:
        """False: Redis is away. The lease then ends by itself."""
        return await self._told(self._release(keys=[claim.place], args=[claim.fence]))

    async def renew(self, claims: Sequence[Claim]) -> None:
        words: list[bytes | int] = [round(LEASE_S * 1000), *(claim.fence for claim in claims)]
        await self._told(self._renew(keys=[claim.place for claim in claims], args=words))

    async def aclose(self) -> None:
        await self._door.aclose()

    def _sealed(self, reply: KeptReply, place: str) -> bytes:
        return self._keyring.seal(zlib.compress(_encode(reply), 1), place)

    async def _opened(self, data: bytes, place: str) -> KeptReply:
        if data == _NO_ANSWER:
            raise IdempotencyKeyReused("This idempotency key was used; its answer was too large to be kept.")
        is_large = len(data) > _LARGE_BYTES
        reply = await asyncio.to_thread(self._read, data, place) if is_large else self._read(data, place)
        if reply is None:
            raise IdempotencyKeyReused("This idempotency key was used, but its answer can no longer be read.")
        return reply

    def _read(self, data: bytes, place: str) -> KeptReply | None:
        with suppress(zlib.error, msgspec.DecodeError, SecretsError):
            packed = data if data.startswith(_PACKED_ONLY) else self._keyring.open(data, place)
            return _decode(zlib.decompressobj().decompress(packed, 2 * MOST_REPLY_BYTES))
        return None

    async def _told(self, question: Awaitable[object]) -> bool:
        try:
            await self._door.ask(question)
        except RedisAway:
            return False
        return True


def _unknown() -> TemporarilyUnavailable:
    message = (
        "Whether this idempotency key was used cannot be checked for the moment. Without one you would be served."
    )
    return TemporarilyUnavailable(message, retry_after_s=RETRY_AFTER_S)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeptReply).decode
