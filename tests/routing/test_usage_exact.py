"""Usage is exact: one row for each request that its caller saw complete, whatever died meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from itertools import count

import pytest
from asgiref.sync import sync_to_async

from metering.models import Usage
from tests.fakes.wirelog import settled
from tests.routing.crowd import BROKEN, DONE, LONG, Crowd, Heard, at_once, crowd, exchanges_by_sentinel, sentinels
from tests.stack import GatewayProcess, allow_of

MODEL, EMBED, BROKEN_MODEL = "sim-chat", "sim-embed", "broken"
COUNT = 10_000 if LONG else 3_000
KILLS_AT = (0.25, 0.5, 0.75)
WORKERS = 2


@pytest.fixture
def doomed(gateway, upstream_servers, tmp_path):
    """A gateway of its own, since its processes get killed."""
    process = GatewayProcess(tmp_path, egress_allow=allow_of(upstream_servers), workers=WORKERS)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def served(tenant, upstreams):
    models = [{"id": MODEL}, {"id": EMBED, "kind": "embedding"}, {"id": BROKEN_MODEL, "upstream_id": "500"}]
    for upstream in (upstreams.a, upstreams.b):
        tenant.connect(upstream.base_url, models)
    return tenant


def mixed(callers: Crowd):
    """Whole answers, streams, embeddings, completions and two kinds of errors, in turn."""
    numbers = count()
    kinds = (
        lambda s: callers.ask(s),
        lambda s: callers.ask(s, stream=True),
        lambda s: callers.ask(s, stream=True, stream_options={"include_usage": True}),
        lambda s: callers.ask(s, endpoint="embeddings", model=EMBED, input=s, messages=None),
        lambda s: callers.ask(s, endpoint="completions", prompt=s, messages=None),
        lambda s: callers.ask(s, max_tokens=3),
        lambda s: callers.ask(s, model=BROKEN_MODEL),
        lambda s: callers.ask(s, stream=True, model="unknown"),
    )

    async def ask(sentinel: str) -> Heard:
        return await kinds[next(numbers) % len(kinds)](sentinel)

    return ask


async def kill_now_and_then(doomed: GatewayProcess, heard: list[Heard]) -> None:
    for share in KILLS_AT:
        while len(heard) < share * COUNT or len(doomed.worker_pids) < WORKERS:
            await asyncio.sleep(0.02)
        os.kill(doomed.worker_pids[0], signal.SIGKILL)


async def test_rows_are_the_completed_requests(doomed, served, upstreams):
    heard: list[Heard] = []
    async with crowd(doomed.url, served.api_key, MODEL) as callers:
        killing = asyncio.create_task(kill_now_and_then(doomed, heard))
        await at_once(mixed(callers), sentinels(COUNT), results=heard)
        await killing
    await upstreams.a.log.until(settled)
    complete = {one.request_id: one for one in heard if one.end != BROKEN}
    broken = [one for one in heard if one.end == BROKEN]
    await _until_recorded(served.org.pk, complete.keys())
    await _until_adopted(doomed)
    await sync_to_async(doomed.stop)()

    rows = [row async for row in Usage.objects.filter(org_id=served.org.pk)]
    assert set(Counter(row.request_id for row in rows).values()) == {1}
    by_id = {row.request_id: row for row in rows}
    assert by_id.keys() >= complete.keys()
    # What was served and recorded just before the end, and whose last bytes its caller did not get any more.
    unheard = by_id.keys() - complete.keys()
    assert len(unheard) <= len(broken) < COUNT / 20
    assert not [path for path in doomed.data_dir.glob("journal/*") if path.is_file()]
    _assert_figures(complete, by_id, upstreams)


async def _until_recorded(org_id: int, request_ids) -> None:
    rows = Usage.objects.filter(org_id=org_id).values_list("request_id", flat=True)
    async with asyncio.timeout(30):
        while set(request_ids) - {request_id async for request_id in rows.all()}:
            await asyncio.sleep(0.2)


async def _until_adopted(doomed: GatewayProcess) -> None:
    """What the killed left is taken over, for a process that stops leaves what it has no time for to the next."""
    async with asyncio.timeout(60):
        while len(list(doomed.data_dir.glob("journal/*.journal"))) > WORKERS:
            await asyncio.sleep(0.2)


def _assert_figures(complete, by_id, upstreams) -> None:
    exchanges = exchanges_by_sentinel(upstreams)
    for request_id, one in complete.items():
        row = by_id[request_id]
        assert (row.status, row.stream) == (one.status, one.stream)
        if one.status != 200:
            assert (row.input_tokens, row.output_tokens, row.billing_reason) == (0, 0, "no_charge_error")
            continue
        [usage] = [exchange.usage for _, exchange in exchanges[one.sentinel] if exchange.fault == "ok"]
        assert (row.input_tokens, row.output_tokens) == (usage["prompt_tokens"], usage.get("completion_tokens", 0))
        assert (row.usage_source, row.billing_reason) == ("reported", "completed")
    assert {one.end for one in complete.values()} >= {DONE}
    assert {one.status for one in complete.values()} == {200, 404, 502}
