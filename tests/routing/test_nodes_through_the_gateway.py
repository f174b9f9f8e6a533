"""A machine at a real gateway of two processes: it connects to one of them and answers for both."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import httpx
import pytest

from accounts.limits import set_limits
from accounts.scopes import NODE, ORGANISATION
from nodes.enrolment import create_token
from nodes.models import Node, NodeModel
from nodes.services import pause_node, revoke_node
from routing.services import put_route
from shareai_node.tunnel.errors import Code
from tests.fakes.node import Exchange, FakeNode
from tests.fakes.upstream import KEY
from tests.fakes.wirelog import settled
from tests.nodes.machine import Machine
from tests.routing.hearing import let_all_hear
from tests.stack import GatewayProcess, Tenant

MODEL = "ok"
FOUND = {"models": [{"id": MODEL, "runtime": "llamacpp", "capabilities": {"chat": True}}]}
ASK = {"messages": [{"role": "user", "content": "Hello"}]}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MANY = 24
"""So many connections reach both processes."""


@dataclass
class Box:
    """An enrolled machine and its organisation."""

    tenant: Tenant
    gateway: GatewayProcess
    machine: Machine
    row: Node

    def connect(self) -> FakeNode:
        url = self.gateway.url.replace("http", "ws") + "/nodes/v1/connect"
        return FakeNode(url, self.row.public_id, self.machine._key)

    @property
    def name(self) -> str:
        return f"node/{self.row.slug}/{MODEL}"


@pytest.fixture
def box(gateway: GatewayProcess, tenant: Tenant) -> Box:
    machine = Machine()
    token = create_token(tenant.org, tenant.actor).plain
    answer = httpx.post(f"{gateway.url}/nodes/v1/enroll", json=machine.application(token, gateway.url, name="Box"))
    row = Node.objects.select_related("org").get(public_id=answer.json()["node"])
    return Box(tenant, gateway, machine, row)


@pytest.fixture
def upstream(upstream_servers):
    server = upstream_servers.a
    server.heal()
    server.log.wait_until(settled)
    server.log.clear()
    return server


@asynccontextmanager
async def client_of(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    """Each request on a connection of its own."""
    headers = {"Authorization": f"Bearer {box.tenant.api_key}"}
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=box.gateway.url, headers=headers, limits=limits, timeout=30) as client:
        yield client


async def tell(node: FakeNode, **settings: Any) -> None:
    node.session.send_settings(json.dumps(settings).encode())
    await node.flush()


async def ask(client: httpx.AsyncClient, model: str, **more: Any) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=ASK | {"model": model, **more})


async def all_say(client: httpx.AsyncClient, model: str, said: Callable[[httpx.Response], bool]) -> None:
    """Until every process of the gateway answers so."""
    until, answers = monotonic() + 15, await _eight(client, model)
    while not all(map(said, answers)):
        assert monotonic() < until, [answer.text for answer in answers]
        await asyncio.sleep(0.05)
        answers = await _eight(client, model)


async def _eight(client: httpx.AsyncClient, model: str) -> list[httpx.Response]:
    return await asyncio.gather(*[ask(client, model) for _ in range(8)])


def reason_of(answer: httpx.Response) -> str:
    rejected = answer.json().get("error", {}).get("metadata", {}).get("rejected")
    return str(rejected[0]["reason"] if rejected else answer.status_code)


@asynccontextmanager
async def serving(box: Box, client: httpx.AsyncClient, base_url: str) -> AsyncIterator[FakeNode]:
    async with box.connect() as node:
        node.serve(base_url, KEY)
        await tell(node, **FOUND)
        await all_say(client, box.name, lambda answer: answer.status_code == 200)
        yield node


async def test_both_processes_answer_from_a_machine_that_is_connected_to_one(box, upstream):
    async with client_of(box) as client, serving(box, client, upstream.base_url) as node:
        before = len(node.seen)
        client.headers["traceparent"] = f"00-{TRACE}-00f067aa0ba902b7-01"
        answers = await asyncio.gather(*[ask(client, box.name) for _ in range(MANY)])
        assert {answer.status_code for answer in answers} == {200}
        assert len(node.seen) - before == MANY
        assert all(answer.json()["choices"][0]["message"]["content"] for answer in answers)
        spans = [exchange.head["headers"]["traceparent"] for exchange in node.seen[before:]]
        assert all(span.startswith(f"00-{TRACE}-") for span in spans)
        assert len(set(spans)) == MANY


async def test_ten_are_ten_over_keys_a_provider_and_a_machine(box, upstream):
    """A day's window, for in a minute's the eleventh may come after six seconds."""
    await asyncio.to_thread(box.tenant.connect, upstream.base_url, ["sim-chat"])
    keys = [box.tenant.api_key, *[(await asyncio.to_thread(box.tenant.new_key))[1] for _ in range(2)]]
    async with client_of(box) as client, serving(box, client, upstream.base_url):
        org, actor = box.tenant.org, box.tenant.actor
        await asyncio.to_thread(set_limits, org, actor, ORGANISATION, wishes={"rpd": 10})
        await asyncio.to_thread(let_all_hear, box.gateway, box.tenant)
        asked = [(keys[number % 3], ("sim-chat", box.name)[number % 2]) for number in range(42)]
        answers = await asyncio.gather(*[
            client.post(
                "/v1/chat/completions", json=ASK | {"model": model}, headers={"Authorization": f"Bearer {key}"}
            )
            for key, model in asked
        ])  # fmt: skip
    assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 32}


@dataclass(frozen=True, slots=True)
class Both:
    """A route of the machine and a provider at ten US cents for a thousand tokens of an answer."""

    box: Box
    client: httpx.AsyncClient
    provider: str = "upstream-a/sim-chat"
    route: str = "both"

    async def limit(self, scope: str, subject: str = "", **wishes: Any) -> None:
        org, actor = self.box.tenant.org, self.box.tenant.actor
        await asyncio.to_thread(set_limits, org, actor, scope, subject, wishes=wishes)
        await asyncio.to_thread(let_all_hear, self.box.gateway, self.box.tenant)

    async def prefer(self, *names: str) -> None:
        legs = [{"target": name, "tier": tier} for tier, name in enumerate(names)]
        org, actor = self.box.tenant.org, self.box.tenant.actor
        await asyncio.to_thread(put_route, org, actor, self.route, {"targets": legs})

    async def ask(self, model: str = "", tokens: int = 10) -> httpx.Response:
        messages = [{"role": "user", "content": f"[[tokens:{tokens}]]"}]
        return await ask(self.client, model or self.route, messages=messages, max_tokens=tokens)

    async def served(self, times: int) -> list[str]:
        return [(await self.ask()).headers["x-shareai-target"] for _ in range(times)]


@pytest.fixture
async def both(box, upstream) -> AsyncIterator[Both]:
    priced = {"id": "sim-chat", "input_price": "0", "output_price": "100"}
    await asyncio.to_thread(box.tenant.connect, upstream.base_url, [priced])
    async with client_of(box) as client, serving(box, client, upstream.base_url):
        yield Both(box, client)


async def test_a_machine_whose_limit_is_reached_is_passed_by_and_refuses_by_itself(both):
    await both.prefer(both.box.name, both.provider)
    await both.limit(NODE, both.box.row.public_id, rpd=2)
    assert await both.served(4) == [both.box.name] * 2 + [both.provider] * 2
    refused = await both.ask(both.box.name)
    assert (refused.status_code, refused.json()["error"]["metadata"]["scope"]) == (429, "node")


async def test_own_machines_go_on_when_the_money_is_spent_and_the_provider_does_not(both):
    await both.prefer(both.provider, both.box.name)
    one_answer = [{"amount_usd": "0.001", "window": "monthly"}]
    await both.limit(ORGANISATION, budgets=one_answer, when_reached="own_nodes")
    assert await both.served(4) == [both.provider] + [both.box.name] * 3
    assert (await both.ask(both.provider)).json()["error"]["code"] == "budget_exceeded"
    assert (await both.ask(both.box.name)).status_code == 200


async def test_tokens_used_up_on_the_machine_are_used_up_for_the_provider_too(both):
    await both.prefer(both.box.name, both.provider)
    await both.limit(ORGANISATION, budgets=[{"tokens": 200, "window": "daily"}])
    spent = await both.ask(both.box.name, tokens=170)
    assert spent.status_code == 200, spent.text
    for name in (both.provider, both.box.name, both.route):
        refused = await both.ask(name, tokens=60)
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded"), refused.text


async def test_both_processes_stream_from_it(box, upstream):
    async with client_of(box) as client, serving(box, client, upstream.base_url):
        answers = await asyncio.gather(*[ask(client, box.name, stream=True) for _ in range(MANY)])
        assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers)


async def test_what_it_reports_becomes_its_models_and_its_trial_is_run(box, upstream):
    async with client_of(box) as client, serving(box, client, upstream.base_url):

        def tried() -> bool:
            return NodeModel.objects.filter(node=box.row, upstream_id=MODEL, trial_ok=True).exists()

        async with asyncio.timeout(15):
            while not await asyncio.to_thread(tried):
                await asyncio.sleep(0.05)


async def test_a_caller_who_leaves_stops_the_machine_s_work_in_either_process(box, upstream):
    async with client_of(box) as client, serving(box, client, upstream.base_url) as node:
        node.answer_with(endless)

        async def look_and_leave() -> None:
            body = ASK | {"model": box.name, "stream": True}
            async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                async for _ in answer.aiter_raw():
                    return

        await asyncio.gather(*[look_and_leave() for _ in range(4)])
        await node.until(lambda: not node.exchanges or all(one.task.done() for one in node.exchanges.values()))


async def endless(exchange: Exchange) -> None:
    await exchange.begin(200, {"content-type": "text/event-stream"})
    while True:
        await exchange.send(b'data: {"choices":[{"index":0,"delta":{"content":"on and "}}]}\n\n')
        await asyncio.sleep(0.01)


async def test_a_machine_that_is_busy_gets_no_work_from_either_process(box, upstream):
    async with client_of(box) as client, serving(box, client, upstream.base_url) as node:
        await tell(node, state={"mode": "idle", "accepting": False, "reason": "user_active"})
        await all_say(client, box.name, lambda answer: reason_of(answer) == "node_user_active")
        await tell(node, state={"mode": "idle", "accepting": True})
        await all_say(client, box.name, lambda answer: answer.status_code == 200)


async def test_a_machine_that_leaves_is_gone_from_both(box, upstream):
    async with client_of(box) as client:
        async with serving(box, client, upstream.base_url):
            pass
        await all_say(client, box.name, lambda answer: reason_of(answer) == "node_offline")


async def test_a_revoked_machine_is_closed_and_does_not_come_back(box, upstream):
    async with client_of(box) as client, serving(box, client, upstream.base_url) as node:
        await asyncio.to_thread(revoke_node, box.row, box.tenant.actor)
        assert await node.closed() == 4403
        again = box.connect()
        await again.dial()
        with pytest.raises(Exception, match="4403"):
            await again.greet()


async def test_what_its_owner_changes_is_sent_to_it(box, upstream):
    async with client_of(box) as client, serving(box, client, upstream.base_url) as node:
        assert node.welcome["config"]["paused"] is False
        await asyncio.to_thread(pause_node, box.row, box.tenant.actor)
        await node.until(lambda: any(said["config"]["paused"] for said in node.settings))


async def test_the_newest_connection_wins_in_whichever_process_it_is(box):
    connected: list[FakeNode] = []
    for _ in range(6):
        node = box.connect()
        await node.__aenter__()
        connected.append(node)
    assert [node.welcome["generation"] for node in connected] == sorted(
        node.welcome["generation"] for node in connected
    )
    for older in connected[:-1]:
        assert await older.closed() == 4409
    assert connected[-1].socket.close_code is None
    for node in connected:
        await node.__aexit__()


async def test_a_refusal_fails_over(box, upstream):
    """The machine itself says no: the caller is told which machine, and why."""
    async with client_of(box) as client, serving(box, client, upstream.base_url) as node:
        node.answer_with(lambda exchange: exchange.reset(Code.LOCAL_UNREACHABLE))
        answer = await ask(client, box.name)
        assert answer.status_code == 502
        assert answer.json()["error"]["metadata"]["attempts"][0]["reason"] == "connect_failure"


async def test_a_busy_machine_is_not_taken_for_a_broken_one(box, upstream):
    """As often as would open a breaker, and as many again."""
    async with client_of(box) as client, serving(box, client, upstream.base_url) as node:
        node.answer_with(lambda exchange: exchange.reset(Code.REFUSED_STREAM, "full"))
        for _ in range(10):
            answer = await ask(client, box.name)
            assert answer.status_code == 502
            assert answer.json()["error"]["metadata"]["attempts"][0]["reason"] == "machine_busy"
        node.serve(upstream.base_url, KEY)
        assert (await ask(client, box.name)).status_code == 200
