"""Many machines, by the agent's own code in one process: one token for all, and back after a console's restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from nodes.enrolment import create_token
from nodes.models import Node
from shareai_node import enroll, identity
from shareai_node.agent import Agent
from shareai_node.config import Server
from shareai_node.errors import AgentError
from shareai_node.places import places
from tests.figures import timed
from tests.nodes_e2e.conftest import LONG, ask, browser_of
from tests.nodes_e2e.machines import until
from tests.stack import GatewayProcess, Tenant, make_tenant

MODEL = "sim-chat"
COMPANY = 50
RESTARTED = 20
BACK_WITHIN_S = 15.0
SLACK_S = 15.0
"""For machines that run the tests and everything else at once."""


@pytest.fixture
def other_console(django_db_setup, django_db_blocker, tmp_path) -> Iterator[GatewayProcess]:
    """One that a test may restart."""
    with django_db_blocker.unblock():
        process = GatewayProcess(tmp_path, workers=2).start()
        yield process
        process.stop()


@pytest.fixture
def company(other_console) -> Tenant:
    return make_tenant("Company")


def enrolled(console: str, token: str, folder: Path, server: str, name: str) -> Agent:
    where = places({"SHAREAI_NODE_HOME": str(folder)})
    url = server.removesuffix("/v1")
    wish = enroll.Wish(console, token, name, servers=(Server(url),), discover=False)
    config = replace(enroll.enroll(where, wish), models=(MODEL,))
    key = identity.find(where.key)
    assert key is not None
    return Agent(where, config, key)


@asynccontextmanager
async def running(agents: list[Agent]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(agent.run()) for agent in agents]
    try:
        yield
    finally:
        for agent in agents:
            agent.stop()
        await asyncio.wait(tasks, timeout=20)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def fleet_of(count: int, console: GatewayProcess, tenant: Tenant, folder: Path, server: str) -> list[Agent]:
    """By one token, which lets in so many and not one more."""
    made = await asyncio.to_thread(create_token, tenant.org, tenant.actor, count=count, ttl_s=3600)
    few = asyncio.Semaphore(4)

    async def one(number: int) -> Agent:
        async with few:
            name = f"pc-{number}"
            return await asyncio.to_thread(enrolled, console.url, made.plain, folder / name, server, name)

    agents = await asyncio.gather(*map(one, range(count)))
    with pytest.raises(AgentError, match="was used before"):
        await one(count)
    assert await asyncio.to_thread(Node.objects.of(tenant.org).count) == count
    return agents


async def all_answer(http: httpx.Client, count: int, within_s: float) -> None:
    def not_yet() -> list[int]:
        return [n for n in range(count) if ask(http, f"node/pc-{n}/{MODEL}", max_tokens=1).status_code != 200]

    left: list[int] = []

    def done() -> bool:
        left[:] = not_yet()
        return not left

    await asyncio.to_thread(until, done, within_s, lambda: f"do not answer: {left}")


async def all_connected(agents: list[Agent], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not all(agent.link.connected for agent in agents):
            await asyncio.sleep(0.1)


async def test_a_fleet_comes_in_by_one_token_and_back_after_a_restart(other_console, company, tmp_path, local):
    agents = await fleet_of(RESTARTED, other_console, company, tmp_path, local.base_url)
    async with running(agents):
        with browser_of(other_console, company) as http:
            await all_connected(agents, 60)
            await all_answer(http, RESTARTED, 60)
            for end, how in (other_console.stop, "was stopped"), (other_console.kill, "was killed"):
                before = [agent.link.generation for agent in agents]
                await asyncio.to_thread(end)
                what = f"a console of two processes that {how} starts again, until its {RESTARTED} machines are back"
                with timed(what):
                    await asyncio.to_thread(other_console.start)
                    await all_connected(agents, BACK_WITHIN_S + SLACK_S)
                assert all(now > then for now, then in zip((a.link.generation for a in agents), before, strict=True))
                await all_answer(http, RESTARTED, BACK_WITHIN_S + SLACK_S)


@pytest.mark.skipif(not LONG, reason="takes minutes: SHAREAI_LONG=1 runs it")
async def test_fifty_machines_and_not_one_more(other_console, company, tmp_path, local):
    agents = await fleet_of(COMPANY, other_console, company, tmp_path, local.base_url)
    async with running(agents):
        with browser_of(other_console, company) as http:
            await all_connected(agents, 120)
            await all_answer(http, COMPANY, 120)
