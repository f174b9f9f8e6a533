"""More callers than a machine serves at a time: they wait for it, spill over, or make room for its owner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from nodes.services import update_node
from nodes.sightings import presences_of
from routing.services import put_route
from tests.fakes.upstream import FaultUpstream
from tests.nodes_e2e.conftest import ASK, all_say, browser_of, until_served
from tests.nodes_e2e.machines import Machine, until
from tests.stack import Tenant, make_tenant

MODEL = "sim-chat"
PINNED = f"node/box/{MODEL}"
CLOUD = f"upstream-a/{MODEL}"
SLOTS = 2
CALLERS = 14


@pytest.fixture
def box(make_machine, local, http) -> Machine:
    machine = make_machine(local.base_url, models=MODEL)
    until_served(http, PINNED)
    return machine


@pytest.fixture
async def crowd(console, tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with crowd_of(console.url, tenant) as client:
        yield client


def crowd_of(url: str, tenant: Tenant) -> httpx.AsyncClient:
    """Each request on a connection of its own, so that both processes are met."""
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60)


def asking(crowd: httpx.AsyncClient, model: str, **more: object) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(crowd.post("/v1/chat/completions", json=ASK | {"model": model} | more))


async def serves_at_a_time(box: Machine, tenant: Tenant, slots: int) -> None:
    """Returns when the agent itself has heard of it."""
    await asyncio.to_thread(update_node, box.row, tenant.actor, {"max_concurrent": slots})

    def told() -> bool:
        return json.loads(box.home.do_now("status", "--json").out)["max_concurrent"] == slots

    await asyncio.to_thread(until, told)


async def has(box: Machine, in_flight: int) -> None:
    """Returns when all processes may know that the machine has so many."""
    node = box.row.public_id

    def told() -> bool:
        return presences_of([node])[node].in_flight == in_flight

    await asyncio.to_thread(until, told, what=lambda: str(presences_of([node])))
    await asyncio.sleep(0.2)


def most_at_once(local: FaultUpstream) -> int:
    posts = local.log.posts
    began = [(post.received_at, 1) for post in posts]
    ended = [(post.ended_at, -1) for post in posts if post.ended_at is not None]
    here = most = 0
    for _, step in sorted(began + ended):
        most = max(most, here := here + step)
    return most


@pytest.mark.parametrize("stream", [False, True])
async def test_more_callers_than_slots_are_all_answered(box, tenant, crowd, local, http, stream):
    await serves_at_a_time(box, tenant, SLOTS)
    legs = [{"target": PINNED}]
    await asyncio.to_thread(put_route, tenant.org, tenant.actor, "at-home", {"targets": legs, "private": True})
    await asyncio.to_thread(all_say, http, "at-home", lambda answer: answer.status_code == 200)
    local.log.clear()
    local.manners.first_token_s = 0.1
    answers = await asyncio.gather(*[asking(crowd, "at-home", stream=stream) for _ in range(CALLERS)])
    assert [answer.status_code for answer in answers] == [200] * CALLERS
    assert len(local.log.posts) == CALLERS
    assert most_at_once(local) == SLOTS


async def test_what_is_too_much_for_the_line_goes_to_the_provider_and_the_rest_waits(
    box, tenant, cloud, cloud_server, crowd, local, http
):
    await serves_at_a_time(box, tenant, 1)
    await asyncio.to_thread(tenant.connect, cloud.base_url, [MODEL], priority=1)
    spilling = {"targets": [{"target": PINNED}, {"target": CLOUD}], "spill_over": {"queue_above": 1}}
    await asyncio.to_thread(put_route, tenant.org, tenant.actor, "spilling", spilling)
    await asyncio.to_thread(
        all_say, http, "spilling", lambda answer: answer.headers.get("x-shareai-target") == PINNED
    )
    cloud.log.clear()
    local.fail("hang")
    first = asking(crowd, "spilling")
    await has(box, 1)
    local.heal()
    waiting = []
    for number in (2, 3):
        waiting.append(asking(crowd, "spilling"))
        await has(box, number)
    over = await asking(crowd, "spilling")
    assert (over.status_code, over.headers["x-shareai-target"]) == (200, CLOUD)
    assert not any(one.done() for one in waiting)
    first.cancel()  # who leaves makes room for the next
    answers = await asyncio.gather(*waiting)
    assert [(one.status_code, one.headers["x-shareai-target"]) for one in answers] == [(200, PINNED)] * 2
    assert len(cloud.log.posts) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_the_owner_takes_the_slot_of_a_guest(box, console, tenant, crowd, local, stream):
    guest = await asyncio.to_thread(make_tenant, "Guest")
    await serves_at_a_time(box, tenant, 1)
    shared = {"visibility": "shared", "shared_with": [guest.org.slug]}
    await asyncio.to_thread(update_node, box.row, tenant.actor, shared)
    theirs = f"node/{tenant.org.slug}.box/{MODEL}"
    with browser_of(console, guest) as browser:
        await asyncio.to_thread(until_served, browser, theirs)
    async with crowd_of(console.url, guest) as guests:
        await has(box, 0)
        local.fail("stall" if stream else "hang")
        interrupted = asking(guests, theirs, stream=stream)
        await local.log.until(lambda log: log.posts[-1].hanging, 15)
        await has(box, 1)
        local.heal()
        answer = await asking(crowd, PINNED)
        told = await interrupted
    assert (answer.status_code, answer.headers["x-shareai-target"]) == (200, PINNED)
    assert answer.headers["x-shareai-attempts"] == "1"
    if stream:
        assert '"error"' in told.text
    else:
        assert told.json()["error"]["metadata"]["attempts"][0]["reason"] == "rate_limited"
