"""Many at once on one budget over three processes, with Redis restarted and one process stopped meanwhile.

What is spent is never more than the budget, to the last unit, and nobody is refused while enough is free.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import aiohttp
import httpx
import psutil
import pytest

from accounts.limits import set_limits
from accounts.scopes import ORGANISATION
from ledger.invariants import reconcile
from ledger.models import Lease, Lessee
from metering.models import BudgetWindow, Usage
from tests.fakes.upstream import FaultUpstream, Manners
from tests.ownredis import OwnRedis, eventually
from tests.stack import GatewayProcess, Tenant, make_tenant

LONG = os.environ.get("SHAREAI_LONG") == "1"
COUNT, STOPPED_S, RUNS = (1_000, 10.0, 20) if LONG else (400, 2.0, 1)
WORKERS = 3
FEW, KEPT_S = 48, 1.5
BOUND_TOKENS = 10
TOKEN_NANOS = 100_000
PRICED = {"id": "sim-chat", "input_price": "0", "output_price": "100"}
URL = "/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultUpstream]:
    with FaultUpstream(name="A", models=["sim-chat"], manners=Manners(first_token_s=0.05)) as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[OwnRedis]:
    with OwnRedis() as own:
        yield own


@pytest.fixture(scope="module")
def fleet(django_db_setup, django_db_blocker, upstream, redis, tmp_path_factory) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        told = {"REDIS_URL": redis.url, "GATEWAY_PROCESSES": str(WORKERS)}
        allow = f"127.0.0.1:{upstream.port}"
        process = GatewayProcess(tmp_path_factory.mktemp("fleet"), egress_allow=allow, workers=WORKERS, **told)
        process.start()
        yield process
        process.stop()


@pytest.fixture
def acme(fleet, django_db_blocker, settings, upstream) -> Iterator[Tenant]:
    settings.EGRESS_ALLOW = f"127.0.0.1:{upstream.port}"
    with django_db_blocker.unblock():
        tenant = make_tenant()
        tenant.connect(upstream.base_url, [PRICED])
        yield tenant
        assert reconcile() == []


def budget_of(tenant: Tenant, requests: int) -> int:
    """A budget that covers so many requests at their bound. Returns: it, in nano-USD."""
    nanos = requests * BOUND_TOKENS * TOKEN_NANOS
    wishes = {"budgets": [{"amount_usd": str(Decimal(nanos).scaleb(-9)), "window": "lifetime"}]}
    set_limits(tenant.org, tenant.actor, ORGANISATION, wishes=wishes)
    return nanos


def body(tokens: int) -> dict:
    content = f"[[tokens:{tokens}]]"
    return {"model": "sim-chat", "max_tokens": BOUND_TOKENS, "messages": [{"role": "user", "content": content}]}


async def ask_at_once(fleet: GatewayProcess, tenant: Tenant, tokens: int, count: int) -> list[tuple[int, dict]]:
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    timeout = aiohttp.ClientTimeout(total=90)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def one() -> tuple[int, dict]:
            async with session.post(fleet.url + URL, json=body(tokens), headers=headers) as response:
                return response.status, await response.json()

        return await asyncio.gather(*(one() for _ in range(count)))


async def disturbed(fleet: GatewayProcess, redis: OwnRedis) -> None:
    """Redis dies and comes back; one process stands still for a while."""
    victim = psutil.Process(fleet.worker_pids[0])
    await asyncio.sleep(0.2)
    redis.kill()
    victim.suspend()
    try:
        await asyncio.sleep(STOPPED_S / 2)
        redis.start()
        await asyncio.sleep(STOPPED_S / 2)
    finally:
        victim.resume()


def one_by_one(fleet: GatewayProcess, tenant: Tenant, tokens: int, until: int) -> int:
    """So many more are served, each on a connection of its own, until one is refused."""
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    for served in range(until):
        response = httpx.post(fleet.url + URL, json=body(tokens), headers=headers, timeout=30)
        if response.status_code == 402:
            return served
        assert response.status_code == 200, response.text
    return until


def account_of(tenant: Tenant):
    return BudgetWindow.objects.select_related("account").get(org=tenant.org).account


def refused_rightly(answers: list[tuple[int, dict]]) -> bool:
    """Each refusal was told that less was free than it needed."""
    refusals = [answer["error"]["metadata"] for status, answer in answers if status == 402]
    return all(Decimal(told["left_usd"]) < Decimal(told["needed_usd"]) for told in refusals)


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize(("tokens", "covered"), [(10, 0.6), (1, 0.3), (0, 0.1)], ids=["all", "a tenth", "nothing"])
def test_never_more_than_the_budget_and_no_refusal_while_enough_is_free(fleet, redis, acme, tokens, covered, run):
    budget = budget_of(acme, int(COUNT * covered))
    eventually(lambda: one_by_one(fleet, acme, 0, 3) == 3, 5)

    async def both() -> list[tuple[int, dict]]:
        answers, _ = await asyncio.gather(ask_at_once(fleet, acme, tokens, COUNT), disturbed(fleet, redis))
        return answers

    answers = asyncio.run(both())
    assert not Counter(answer["error"]["code"] for status, answer in answers if status not in (200, 402))
    assert refused_rightly(answers)
    served = sum(status == 200 for status, _ in answers)
    eventually(lambda: spent(acme) == served * tokens * TOKEN_NANOS and account_of(acme).held == 0, 20)
    assert served * tokens * TOKEN_NANOS <= budget
    # Whatever a process that stood still had kept from others is there again, to the last unit.
    served += one_by_one(fleet, acme, BOUND_TOKENS, COUNT) * BOUND_TOKENS // tokens if tokens == BOUND_TOKENS else 0
    eventually(lambda: spent(acme) == served * tokens * TOKEN_NANOS, 20)
    if tokens == BOUND_TOKENS:
        assert spent(acme) == budget
    assert sum(Usage.objects.of(acme.org).values_list("cost_nanos", flat=True)) == spent(acme)


def spent(tenant: Tenant) -> int:
    window = BudgetWindow.objects.select_related("account").get(org=tenant.org)
    assert window.overrun == 0
    return window.allotted - window.account.balance


def test_exactly_as_many_as_it_covers_are_all_served(fleet, acme):
    """Slices are spread over three processes; none of them is refused for what another one keeps idle."""
    budget = budget_of(acme, COUNT)
    eventually(lambda: one_by_one(fleet, acme, 0, 3) == 3, 5)
    answers = asyncio.run(ask_at_once(fleet, acme, BOUND_TOKENS, COUNT))
    assert {status for status, _ in answers} == {200}
    eventually(lambda: spent(acme) == budget, 20)
    assert one_by_one(fleet, acme, 1, 1) == 0


@pytest.mark.parametrize("how", ["stands still", "dies"])
def test_nobody_is_refused_for_what_one_keeps_that_cannot_give_it_back_yet(fleet, acme, how):
    """However long it takes: until it hears that others are short, or what it had leased is free for all."""
    budget = budget_of(acme, FEW)
    eventually(lambda: one_by_one(fleet, acme, 0, 3) == 3, 5)
    keeper = suspended_with_idle_slices(fleet, acme)

    async def released() -> None:
        if how == "dies":
            keeper.kill()
        else:
            await asyncio.sleep(KEPT_S)
            keeper.resume()

    async def both() -> list[tuple[int, dict]]:
        answers, _ = await asyncio.gather(ask_at_once(fleet, acme, BOUND_TOKENS, FEW), released())
        return answers

    answers = asyncio.run(both())
    assert Counter(status for status, _ in answers) == {200: FEW}
    eventually(lambda: spent(acme) == budget and account_of(acme).held == 0, 20)
    assert one_by_one(fleet, acme, 1, 1) == 0
    eventually(lambda: len(fleet.worker_pids) == WORKERS, 60)


def suspended_with_idle_slices(fleet: GatewayProcess, tenant: Tenant) -> psutil.Process:
    """One that stands still and keeps some of the budget that no request needs."""
    for _ in range(20):
        asyncio.run(ask_at_once(fleet, tenant, 0, 4 * WORKERS))
        for process in map(psutil.Process, fleet.worker_pids):
            process.suspend()
            journal = f"{process.pid}-"
            if Lease.objects.filter(account=account_of(tenant), amount__gt=0, lessee__journal__startswith=journal):
                return process
            process.resume()
    raise AssertionError("no process keeps anything")


def test_a_process_killed_with_slices_leaves_nothing_held_and_nothing_unsettled(fleet, acme):
    budget_of(acme, COUNT)
    eventually(lambda: one_by_one(fleet, acme, 0, 3) == 3, 5)
    before = set(Lessee.objects.values_list("id", flat=True))
    served = one_by_one(fleet, acme, BOUND_TOKENS, 12)
    assert Lease.objects.filter(lessee__in=before, amount__gt=0).exists()
    with killed(fleet):
        eventually(lambda: account_of(acme).held == 0, 30)
    assert spent(acme) == served * BOUND_TOKENS * TOKEN_NANOS
    eventually(lambda: len(fleet.worker_pids) == WORKERS, 60)
    eventually(lambda: one_by_one(fleet, acme, 0, 3) == 3, 60)


@contextmanager
def killed(fleet: GatewayProcess) -> Iterator[None]:
    os.kill(fleet.worker_pids[0], signal.SIGKILL)
    yield
