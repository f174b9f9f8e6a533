"""From Redis to the fleet: what is said at once, what is read again, and who expires."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import msgspec
import pytest
import redis.asyncio as aioredis
from django.conf import settings

from nodes.announcements import PRESENCE, PRESENCE_PREFIX
from nodes.fleet import Fleet, Presence
from nodes.sightings import presences_of
from nodes.watch import read_all, watch


@pytest.fixture
async def client() -> AsyncIterator[aioredis.Redis]:
    async with aioredis.Redis.from_url(settings.REDIS_URL) as client:
        yield client
        keys = await client.keys(f"{PRESENCE_PREFIX}*")
        await client.delete("none", *keys)


async def say(client: aioredis.Redis, presence: Presence, *, lives_s: int = 30) -> None:
    said = msgspec.json.encode(presence)
    await client.set(PRESENCE_PREFIX + presence.node, said, ex=lives_s)
    await client.publish(PRESENCE, said)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_is_said_is_heard(client):
    fleet = Fleet()
    await say(client, Presence("node_before"))
    watching = asyncio.create_task(watch(settings.REDIS_URL, fleet))
    await until(lambda: fleet.find("node_before", monotonic()))
    await client.publish(PRESENCE, b"{broken")
    await say(client, Presence("node_new", generation=3, in_flight=2))
    await until(lambda: fleet.find("node_new", monotonic()))
    assert fleet.find("node_new", monotonic()).in_flight == 2
    await say(client, Presence("node_new", generation=3, connected=False))
    await until(lambda: fleet.find("node_new", monotonic()) is None)
    watching.cancel()


async def test_who_is_not_in_redis_any_more_is_gone(client):
    fleet = Fleet()
    fleet.note(Presence("node_gone"), monotonic())
    for number in range(3):
        await say(client, Presence(f"node_{number}"), lives_s=20)
    await client.set(PRESENCE_PREFIX + "node_broken", b"{}", ex=20)
    await read_all(client, fleet)
    assert len(fleet) == 3
    assert fleet.find("node_gone", monotonic()) is None
    assert fleet.find("node_2", monotonic() + 19)
    assert fleet.find("node_2", monotonic() + 21) is None


async def test_pages_see_who_is_connected(client):
    await say(client, Presence("node_here", queue=4))
    await say(client, Presence("node_left", connected=False))
    seen = await asyncio.to_thread(presences_of, ["node_here", "node_left", "node_never"])
    assert {node: presence.queue for node, presence in seen.items()} == {"node_here": 4}
