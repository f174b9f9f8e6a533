"""A stream whose process is killed in its middle is billed for what was delivered, once."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx
import orjson
import pytest

from accounts.limits import set_limits
from accounts.scopes import ORGANISATION
from metering.models import BudgetWindow, Usage
from metering.tokens import count_tokens
from routing.services import put_route
from routing.settlement import GATEWAY_LOST
from tests.routing.crowd import BROKEN, crowd
from tests.stack import GatewayProcess, allow_of

MODEL = "sim-chat"
EVERY_S = 0.3


@pytest.fixture
def doomed(gateway, upstream_servers, tmp_path):
    process = GatewayProcess(tmp_path, egress_allow=allow_of(upstream_servers), workers=2, CHECKPOINT_S=str(EVERY_S))
    process.start()
    yield process
    process.kill()


@pytest.fixture
def served(tenant, upstreams):
    tenant.connect(upstreams.a.base_url, [{"id": MODEL, "input_price": "1", "output_price": "2"}])
    upstreams.a.manners.token_interval_s = 0.1
    yield tenant
    upstreams.a.manners.token_interval_s = 0


def checkpoints_in(process: GatewayProcess) -> list[dict]:
    lines = [line for path in process.data_dir.rglob("*.journal") for line in path.read_bytes().split(b"\n") if line]
    return [record for record in map(orjson.loads, lines) if record.get("kind")]


async def until(found, within_s: float = 20):
    async with asyncio.timeout(within_s):
        while not (result := found()):
            await asyncio.sleep(0.05)
    return result


async def row_of(tenant) -> Usage:
    async with asyncio.timeout(20):
        while (row := await Usage.objects.filter(org_id=tenant.org.pk).afirst()) is None:
            await asyncio.sleep(0.1)
    return row


async def test_a_killed_worker_leaves_a_bill_for_what_was_delivered(doomed, served):
    async with crowd(doomed.url, served.api_key, MODEL) as callers:
        streaming = asyncio.create_task(callers.ask("the sea and all that is in it", stream=True))
        noted = await until(lambda: len(found := checkpoints_in(doomed)) >= 3 and found)
        for pid in doomed.worker_pids:
            if pid == writer_of(doomed):
                os.kill(pid, signal.SIGKILL)
        heard = await streaming
    assert heard.end == BROKEN
    row = await row_of(served)
    assert (row.billing_reason, row.error_code, row.status) == ("interrupted_delivered", GATEWAY_LOST, 200)
    assert noted[-1]["output_tokens"] <= row.output_tokens <= count_tokens(heard.text) + 1
    assert row.output_tokens > noted[0]["output_tokens"]
    assert row.cost_nanos == row.input_tokens * 1_000 + row.output_tokens * 2_000
    assert [attempt["outcome"] for attempt in row.attempts] == [GATEWAY_LOST]
    assert await Usage.objects.filter(org_id=served.org.pk).acount() == 1


@pytest.fixture
def story(served, upstreams):
    """A route that goes from A to B, within a budget."""
    second = served.connect(upstreams.b.base_url, [{"id": MODEL, "input_price": "3", "output_price": "4"}])
    targets = [{"target": f"upstream-a/{MODEL}"}, {"target": f"{second.slug}/{MODEL}", "tier": 1}]
    put_route(served.org, served.actor, "story", {"targets": targets, "continue_streams": True})
    budget = {"budgets": [{"amount_usd": "1", "window": "monthly"}], "when_reached": "block"}
    set_limits(served.org, served.actor, ORGANISATION, "", wishes=budget)
    upstreams.b.manners.token_interval_s = 0.2
    yield served
    upstreams.b.manners.token_interval_s = 0


async def test_both_parts_of_a_stream_that_went_on_are_on_the_bill(doomed, story, upstreams):
    upstreams.a.fail("reset-midstream")
    async with crowd(doomed.url, story.api_key, "story") as callers:
        streaming = asyncio.create_task(callers.ask("the sea and all that is in it", stream=True))
        await until(lambda: any(record["attempt_count"] == 2 for record in checkpoints_in(doomed)))
        for pid in doomed.worker_pids:
            if pid == writer_of(doomed):
                os.kill(pid, signal.SIGKILL)
        await streaming
    row = await row_of(story)
    assert [attempt["outcome"] for attempt in row.attempts] == ["connection_lost", GATEWAY_LOST]
    assert sum(attempt["used"]["cost_nanos"] for attempt in row.attempts) == row.cost_nanos
    assert sum(attempt["used"]["output_tokens"] for attempt in row.attempts) == row.output_tokens
    assert all(attempt["used"]["output_tokens"] for attempt in row.attempts)

    def spent() -> int:
        window = BudgetWindow.objects.select_related("account").get(org=story.org)
        return window.allotted - window.account.balance

    async with asyncio.timeout(20):
        while await asyncio.to_thread(spent) != row.cost_nanos:
            await asyncio.sleep(0.1)


def writer_of(process: GatewayProcess) -> int:
    """The journal's file is named after the process that writes it."""
    [name] = {path.name for path in process.data_dir.rglob("*.journal") if b"checkpoint" in path.read_bytes()}
    return int(name.partition("-")[0])


async def test_a_stream_that_ends_is_recorded_once_and_as_complete(doomed, served):
    async with httpx.AsyncClient(base_url=doomed.url, timeout=30) as http:
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "the sea"}]}
        answer = await http.post(
            "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {served.api_key}"}
        )
    assert answer.text.endswith("data: [DONE]\n\n")
    row = await row_of(served)
    assert (row.billing_reason, row.error_code) == ("completed", "")
    assert await Usage.objects.filter(org_id=served.org.pk).acount() == 1
