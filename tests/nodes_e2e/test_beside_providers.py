"""Machines and providers under one roof: answers of one shape, one set of limits, work by who is free."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from accounts.limits import set_limits
from accounts.scopes import ORGANISATION
from nodes.services import update_node
from routing.services import put_route
from tests.fakes.upstream import FaultUpstream, Manners
from tests.nodes_e2e.conftest import ASK, all_say, ask, until_served
from tests.nodes_e2e.machines import until
from tests.routing.hearing import let_all_hear

MODEL = "sim-chat"
BOX, A, B = f"node/box/{MODEL}", f"upstream-a/{MODEL}", f"upstream-b/{MODEL}"
PER_DAY = 10
MANY = 30


@pytest.fixture
def beside(make_machine, local, tenant, cloud, http) -> None:
    """A machine, and two providers of the same model."""
    box = make_machine(local.base_url, models=MODEL)
    update_node(box.row, tenant.actor, {"max_concurrent": MANY})
    until_served(http, BOX)
    for _ in range(2):
        tenant.connect(cloud.base_url, [MODEL], priority=1000)
    all_say(http, B, lambda answer: answer.status_code == 200)


def shape_of(value: object) -> object:
    """Names and types, without what is said."""
    if isinstance(value, dict):
        return {name: shape_of(inner) for name, inner in sorted(value.items())}
    return [shape_of(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_one_payload_gives_answers_of_one_shape(beside, http):
    answers = [ask(http, name) for name in (A, B, BOX)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({json.dumps(shape_of(answer.json())) for answer in answers}) == 1
    assert len({answer.headers["content-type"] for answer in answers}) == 1


def test_one_payload_gives_streams_of_one_shape(beside, http):
    streams = [ask(http, name, stream=True, stream_options={"include_usage": True}) for name in (A, B, BOX)]
    shapes = [[json.dumps(shape_of(json.loads(line))) for line in lines_of(stream)] for stream in streams]
    assert shapes[0]
    assert len({tuple(sorted(set(seen))) for seen in shapes}) == 1
    assert all(stream.text.endswith("data: [DONE]\n\n") for stream in streams)


def lines_of(stream: httpx.Response) -> Iterator[str]:
    return (line[6:] for line in stream.text.splitlines() if line.startswith("data: {"))


def test_ten_a_day_are_ten_over_keys_machine_provider_and_processes(beside, console, tenant, http):
    """A bound over a day, whose window does not move on while a slow test runs."""
    keys = [tenant.api_key, tenant.new_key()[1], tenant.new_key()[1]]
    for key in keys:
        all_know(http, key)
    set_limits(tenant.org, tenant.actor, ORGANISATION, wishes={"rpd": PER_DAY})
    let_all_hear(console, tenant, A)
    statuses = asyncio.run(all_at_once(console.url, keys))
    assert Counter(statuses) == {200: PER_DAY, 429: MANY - PER_DAY}


async def all_at_once(url: str, keys: list[str]) -> list[int]:
    """Each on a connection of its own; every key at the machine and at the provider."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:

        async def one(number: int) -> int:
            headers = {"Authorization": f"Bearer {keys[number % 3]}"}
            body = ASK | {"model": (BOX, A)[number % 2]}
            return (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code

        return await asyncio.gather(*map(one, range(MANY)))


def all_know(http: httpx.Client, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    agreed = 0

    def know() -> bool:
        nonlocal agreed
        agreed = agreed + 1 if http.get("/v1/models", headers=headers).status_code == 200 else 0
        return agreed >= 6

    until(know)


def test_the_machine_that_is_free_gets_the_work(make_machine, tenant, http, console):
    """Two machines that serve four at a time each, one of which takes twenty times as long."""
    with (
        FaultUpstream(name="Quick", keys=[""], models=[MODEL], manners=Manners(first_token_s=0.02)) as quick,
        FaultUpstream(name="Slow", keys=[""], models=[MODEL], manners=Manners(first_token_s=0.4)) as slow,
    ):
        for server, name in ((quick, "Quick"), (slow, "Slow")):
            update_node(
                make_machine(server.base_url, name=name, models=MODEL).row, tenant.actor, {"max_concurrent": 4}
            )
        names = [f"node/quick/{MODEL}", f"node/slow/{MODEL}"]
        for name in names:
            until_served(http, name)
        legs = [{"target": name} for name in names]
        put_route(tenant.org, tenant.actor, "both", {"strategy": "least_busy", "targets": legs})
        until_served(http, "both")
        served = asyncio.run(work_off(console.url, tenant.api_key, 120))
    assert set(served) == set(names)
    assert served[names[0]] > 2 * served[names[1]]


async def work_off(url: str, key: str, requests: int) -> Counter[str]:
    """By six callers, each of which asks anew when it is answered: fewer than both machines have places."""
    left, served = list(range(requests)), Counter[str]()
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:

        async def call() -> None:
            while left:
                left.pop()
                answer = await client.post("/v1/chat/completions", json=ASK | {"model": "both"})
                served[answer.headers["x-shareai-target"]] += 1

        await asyncio.gather(*[call() for _ in range(6)])
    return served
