"""One upstream call for all who ask the same at once: who leaves, what fails, and that all get the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from asgiref.sync import sync_to_async

from accounts.keys import revoke_key
from demo.faults import MENU, Kind
from metering.models import Usage
from routing.cache_services import put_policy
from tests.fakes.upstream import FaultUpstream, Manners
from tests.routing.crowd import BROKEN, DONE, ERROR, LEFT, WHOLE, Heard, crowd
from tests.stack import GatewayProcess, Tenant, make_tenant

MODEL = "sim-chat"
ALL = 200


@pytest.fixture(scope="module")
def slow() -> Iterator[FaultUpstream]:
    """It takes half a second for an answer, so that others can come meanwhile."""
    with FaultUpstream(name="A", models=(MODEL,)) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(django_db_setup, django_db_blocker, slow, tmp_path_factory) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        folder = tmp_path_factory.mktemp("share")
        short = {"DEADLINE_FIRST_BYTE_S": "2", "DEADLINE_FIRST_BYTE_UNARY_S": "2", "DEADLINE_IDLE_S": "1"}
        process = GatewayProcess(folder, egress_allow=f"127.0.0.1:{slow.port}", **short)
        process.start()
        yield process
        process.stop()


@pytest.fixture
def upstream(slow: FaultUpstream) -> FaultUpstream:
    slow.heal()
    slow.log.clear()
    slow.manners = Manners(first_token_s=0.3, token_interval_s=0.03)
    return slow


@pytest.fixture
def tenant(gateway, django_db_blocker, settings, upstream) -> Iterator[Tenant]:
    settings.EGRESS_ALLOW = f"127.0.0.1:{upstream.port}"
    with django_db_blocker.unblock():
        tenant = make_tenant()
        tenant.connect(upstream.base_url, [{"id": MODEL, "input_price": "1", "output_price": "2"}])
        put_policy(tenant.org, tenant.actor, scope="organization", ttl_s=600)
        yield tenant


def what_was_said(heard: list[Heard]) -> set[bytes]:
    return {re.sub(rb'"id":"req_\w+"', b"", one.raw) for one in heard}


async def rows_of(tenant: Tenant, count: int) -> list[Usage]:
    async with asyncio.timeout(15):
        while True:
            rows = [row async for row in Usage.objects.filter(org_id=tenant.org.pk)]
            if len(rows) >= count:
                return rows
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_all_at_once_make_one_call(gateway, tenant, upstream, stream):
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        heard = await asyncio.gather(*(callers.ask("the sea", stream=stream) for _ in range(ALL)))
    assert {one.end for one in heard} == {DONE if stream else WHOLE}
    assert len(what_was_said(heard)) == 1
    assert "the sea" in heard[0].text
    assert len(upstream.log.posts) == 1
    assert sorted({one.headers["x-shareai-cache"] for one in heard}) == ["HIT", "MISS"]
    rows = await rows_of(tenant, ALL)
    paid = [row for row in rows if row.cost_nanos]
    assert (len(rows), len(paid), paid[0].cache) == (ALL, 1, "MISS")
    assert {row.billing_reason for row in rows if row not in paid} == {"cached"}


async def test_both_forms_share_one_call(gateway, tenant, upstream):
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        heard = await asyncio.gather(*(callers.ask("the sea", stream=number % 2 == 0) for number in range(20)))
    assert {one.text for one in heard} == {heard[0].text}
    assert len(upstream.log.posts) == 1


async def test_who_comes_late_gets_what_was_said_first(gateway, tenant, upstream):
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        first = asyncio.create_task(callers.ask("the sea", stream=True))
        await until(lambda: upstream.log.posts and upstream.log.last.sent_tokens > 3)
        late = await callers.ask("the sea", stream=True)
        assert (await first).raw == late.raw
    assert len(upstream.log.posts) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_the_first_may_leave(gateway, tenant, upstream, stream):
    """Before the first token, and in the middle: for the others nothing changes, and it is paid for once."""
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        first = asyncio.create_task(callers.ask("the sea", stream=stream))
        await until(lambda: upstream.log.posts)
        others = [asyncio.create_task(callers.ask("the sea", stream=stream)) for _ in range(5)]
        await asyncio.sleep(0.1)
        first.cancel()
        heard = await asyncio.gather(*others)
    assert {one.end for one in heard} == {DONE if stream else WHOLE}
    assert len(upstream.log.posts) == 1
    rows = await rows_of(tenant, 6)
    assert [row.billing_reason for row in rows if row.cost_nanos] == ["completed"]


async def test_the_first_may_leave_in_the_middle(gateway, tenant, upstream):
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        first = asyncio.create_task(callers.ask("the sea", stream=True, leave_after=300))
        await until(lambda: upstream.log.posts)
        others = [asyncio.create_task(callers.ask("the sea", stream=True)) for _ in range(5)]
        assert (await first).end == LEFT
        heard = await asyncio.gather(*others)
    assert {one.end for one in heard} == {DONE}
    assert len(upstream.log.posts) == 1


async def test_when_all_have_left_the_upstream_is_let_go(gateway, tenant, upstream):
    upstream.manners.token_interval_s = 0.5
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        heard = await asyncio.gather(*(callers.ask("the sea", stream=True, leave_after=10) for _ in range(5)))
    assert {one.end for one in heard} == {LEFT}
    await until(lambda: upstream.log.last.client_left_at is not None)
    rows = await rows_of(tenant, 5)
    assert {row.status for row in rows} == {499}
    assert [row.billing_reason for row in rows if row.cost_nanos] == ["cancelled_delivered"]


EARLY = [slug for slug, kind in MENU.items() if kind is Kind.EARLY]
MIDWAY = [slug for slug, kind in MENU.items() if kind is Kind.MIDWAY]


@pytest.mark.parametrize("fault", EARLY)
async def test_a_failure_is_told_to_all_and_charged_to_nobody(gateway, tenant, upstream, fault):
    upstream.fail(fault)
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        waiting = [asyncio.create_task(callers.ask("the sea", stream=True)) for _ in range(10)]
        heard = await asyncio.gather(*waiting)
    assert {one.end for one in heard} == {ERROR}
    assert {one.status for one in heard} & {200, 500} == set()
    rows = await rows_of(tenant, 10)
    assert {(row.cost_nanos, row.billing_reason) for row in rows} == {(0, "no_charge_error")}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_when_the_first_fails_one_other_asks(gateway, tenant, upstream, stream):
    """What fails twice is told to all, so that an outage is not answered by a storm."""
    upstream.fail("hang")
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        heard = await asyncio.gather(*(callers.ask("the sea", stream=stream) for _ in range(50)))
    assert {one.status for one in heard} == {504}
    assert len(upstream.log.posts) == 2


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_another_that_asks_may_have_more_luck(gateway, tenant, upstream, stream):
    upstream.fail("hang")
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        waiting = [asyncio.create_task(callers.ask("the sea", stream=stream)) for _ in range(10)]
        await until(lambda: [exchange.fault for exchange in upstream.log.posts] == ["hang"])
        upstream.heal()
        heard = await asyncio.gather(*waiting)
    assert sorted(one.end for one in heard) == sorted([ERROR] + [DONE if stream else WHOLE] * 9)
    assert len(upstream.log.posts) == 2


@pytest.mark.parametrize("fault", MIDWAY)
async def test_a_stream_that_breaks_breaks_for_all_alike(gateway, tenant, upstream, fault):
    upstream.fail(fault)
    async with crowd(gateway.url, tenant.api_key, MODEL) as callers:
        heard = await asyncio.gather(*(callers.ask("the sea", stream=True) for _ in range(10)))
        assert {one.end for one in heard} == {ERROR}
        upstream.heal()
        again = await callers.ask("the sea", stream=True)
    assert (again.end, again.headers["x-shareai-cache"]) == (DONE, "MISS")
    assert BROKEN not in {one.end for one in heard}


async def test_a_key_that_is_revoked_takes_nobody_along(gateway, tenant, upstream):
    key, plain = await sync_to_async(tenant.new_key)()
    upstream.manners.token_interval_s = 0.15
    async with crowd(gateway.url, plain, MODEL) as first, crowd(gateway.url, tenant.api_key, MODEL) as callers:
        revoked = asyncio.create_task(first.ask("the sea", stream=True))
        await until(lambda: upstream.log.posts)
        other = asyncio.create_task(callers.ask("the sea", stream=True))
        await sync_to_async(revoke_key)(key, tenant.actor)
        assert (await revoked).end == ERROR
        assert (await other).end == DONE
    assert len(upstream.log.posts) == 1


async def until(holds) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.01)
