"""Large answers, many at once, and readers who take their time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from nodes.services import update_node
from tests.fakes.upstream import FaultUpstream
from tests.nodes_e2e.conftest import ASK, until_served
from tests.nodes_e2e.machines import Machine
from tests.nodes_e2e.talkative import MODEL as TALKATIVE
from tests.nodes_e2e.talkative import PIECE, talkative

MODEL = "sim-chat"
PINNED = f"node/box/{MODEL}"
STREAMS = 64


@pytest.fixture
def box(make_machine, local, tenant, http) -> Machine:
    machine = make_machine(local.base_url, models=MODEL)
    update_node(machine.row, tenant.actor, {"max_concurrent": STREAMS + 1})
    until_served(http, PINNED)
    return machine


@pytest.fixture
async def crowd(console, tenant) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=console.url, headers=headers, limits=limits, timeout=60) as client:
        yield client


async def read(crowd: httpx.AsyncClient, content: str, pause_s: float = 0) -> str:
    body = {"model": PINNED, "stream": True, "messages": [{"role": "user", "content": content}]}
    said = ""
    async with crowd.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                choices = json.loads(line[6:])["choices"]
                said += "".join(choice["delta"].get("content") or "" for choice in choices)
                await asyncio.sleep(pause_s)
        assert line in ("", "data: [DONE]")
    return said


async def test_many_streams_of_different_speeds_keep_apart(box, crowd, local):
    questions = [f"Question number {number}" for number in range(STREAMS)]
    said = await asyncio.gather(
        *[read(crowd, text, pause_s=index % 4 * 0.005) for index, text in enumerate(questions)]
    )
    sent = {exchange.prompt: exchange.text for exchange in local.log.posts}
    assert [sent[text] for text in questions] == said
    assert all(said)


async def test_one_who_reads_nothing_holds_nobody_up(box, crowd, local: FaultUpstream):
    local.fail("endless-tokens@1")
    body = ASK | {"model": PINNED, "stream": True}
    async with crowd.stream("POST", "/v1/chat/completions", json=body) as stuck:
        assert stuck.status_code == 200
        local.heal()
        said = await asyncio.gather(*[read(crowd, f"Meanwhile {number}") for number in range(16)])
        assert all(said)
    await local.log.until(lambda log: not log.in_flight, 20)


@pytest.mark.parametrize("stream", [False, True])
def test_ten_megabytes_come_whole(make_machine, http, client, stream):
    with talkative() as base_url:
        make_machine(base_url)
        until_served(http, f"node/box/{TALKATIVE}")
        ask = {"model": f"node/box/{TALKATIVE}", "messages": [{"role": "user", "content": "Tell me all"}]}
        answer = client.chat.completions.create(**ask, stream=stream)
        if stream:
            said = "".join(choice.delta.content or "" for chunk in answer for choice in chunk.choices)
        else:
            said = answer.choices[0].message.content
        assert said == PIECE * 1024
