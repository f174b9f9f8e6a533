"""Claims on idempotency keys: one at a time, ended by nobody but who holds them."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio
from django.conf import settings

from common.errors import IdempotencyInProgress, IdempotencyKeyReused
from common.secrets import KeyRing
from routing.kept_replies import KEPT_S, LEASE_S, MOST_REPLY_BYTES, Claim, KeptReplies, KeptReply

REPLY = KeptReply(200, [(b"content-type", b"application/json")], b'{"said": "' + b"sea " * 10_000 + b'"}')


@pytest_asyncio.fixture
async def kept() -> AsyncIterator[KeptReplies]:
    kept = KeptReplies(settings.REDIS_URL, KeyRing.parse(settings.KEYRING))
    yield kept
    await kept.aclose()


def claim(fence: bytes = b"req_1", asked: bytes = b"digest", place: str = "") -> Claim:
    return Claim(place or f"test:{uuid4().hex}", asked, fence)


async def left_s(kept: KeptReplies, mine: Claim) -> float:
    return await kept._door.redis.pttl(mine.place) / 1000


async def test_the_first_has_it_until_it_is_answered(kept):
    mine = claim()
    other = claim(b"req_2", place=mine.place)
    assert await kept.claim(mine) is None
    with pytest.raises(IdempotencyInProgress):
        await kept.claim(other)
    assert await kept.keep(mine, REPLY)
    assert await kept.claim(other) == REPLY
    with pytest.raises(IdempotencyKeyReused):
        await kept.claim(claim(b"req_3", b"other digest", mine.place))
    assert KEPT_S - 60 < await left_s(kept, mine) <= KEPT_S
    assert await kept._door.redis.memory_usage(mine.place) < len(REPLY.body) / 10


async def test_a_lease_ends_unless_it_is_renewed(kept):
    mine, other = claim(), claim()
    for each in (mine, other):
        await kept.claim(each)
        await kept._door.redis.pexpire(each.place, 100)
    await kept.renew([mine])
    assert 1 < await left_s(kept, mine) <= LEASE_S
    assert await left_s(kept, other) <= 0.1


async def test_who_slept_too_long_changes_nothing(kept):
    """Its lease ended and another request holds the key: its fence is not the one that is asked for any more."""
    late = claim(b"req_late")
    await kept.claim(late)
    await kept._door.redis.delete(late.place)
    newer = claim(b"req_newer", place=late.place)
    await kept.claim(newer)
    await kept.renew([late])
    await kept.release(late)
    await kept.keep(late, KeptReply(200, [], b"late"))
    with pytest.raises(IdempotencyInProgress):
        await kept.claim(claim(place=late.place))
    await kept.keep(newer, REPLY)
    assert await kept.claim(late) == REPLY


async def test_a_released_key_is_free(kept):
    mine = claim()
    await kept.claim(mine)
    await kept.release(mine)
    assert await kept.claim(claim(b"req_2", b"other digest", mine.place)) is None


@pytest.mark.parametrize("reply", [None, KeptReply(200, [], b"x" * (MOST_REPLY_BYTES + 1))])
async def test_what_is_too_large_is_not_done_again(kept, reply):
    mine = claim()
    await kept.claim(mine)
    await kept.keep(mine, reply)
    with pytest.raises(IdempotencyKeyReused, match="too large"):
        await kept.claim(mine)


async def test_what_cannot_be_read_is_not_done_again(kept):
    mine = claim()
    await kept.claim(mine)
    await kept._door.redis.hset(mine.place, "answer", b"of another version")
    with pytest.raises(IdempotencyKeyReused, match="no longer"):
        await kept.claim(mine)


async def test_what_lies_in_redis_tells_nobody_anything(kept):
    """Nor does it under another key, where somebody put it."""
    mine, other = claim(), claim()
    for each in (mine, other):
        await kept.claim(each)
        await kept.keep(each, REPLY)
    data = await kept._door.redis.hget(mine.place, "answer")
    with pytest.raises(zlib.error):
        zlib.decompress(data)
    assert b"sea" not in data
    await kept._door.redis.hset(other.place, "answer", data)
    with pytest.raises(IdempotencyKeyReused, match="no longer"):
        await kept.claim(other)


async def test_what_an_earlier_release_kept_is_given_again(kept):
    mine = claim()
    await kept.claim(mine)
    await kept._door.redis.hset(mine.place, "answer", zlib.compress(msgspec.msgpack.encode(REPLY), 1))
    assert await kept.claim(mine) == REPLY
