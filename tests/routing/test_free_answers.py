"""What is answered from memory costs nothing, so no spent budget and no empty balance refuses it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import aiohttp
import httpx
import pytest

from accounts.limits import set_limits
from accounts.scopes import ORGANISATION
from ledger.invariants import reconcile
from metering.models import BudgetWindow
from routing.cache_services import put_policy
from tests.ownredis import eventually
from tests.routing.hearing import let_all_hear
from tests.stack import GatewayProcess, Tenant, allow_of

URL = "/v1/chat/completions"
TOKEN_NANOS = 100_000
PRICED = {"id": "sim-chat", "input_price": "0", "output_price": "100"}
AT_ONCE = 24


@pytest.fixture(scope="module")
def gateway(django_db_setup, django_db_blocker, upstream_servers, tmp_path_factory) -> Iterator[GatewayProcess]:
    """One process, since what is in flight is shared within one."""
    with django_db_blocker.unblock():
        process = GatewayProcess(tmp_path_factory.mktemp("free"), egress_allow=allow_of(upstream_servers))
        process.start()
        yield process
        process.stop()


@pytest.fixture
def acme(gateway, tenant: Tenant, upstreams, django_db_blocker) -> Iterator[Tenant]:
    tenant.connect(upstreams.a.base_url, [PRICED])
    put_policy(tenant.org, tenant.actor, scope="organization", ttl_s=600)
    yield tenant
    with django_db_blocker.unblock():
        assert reconcile() == []


@pytest.fixture
def give(gateway: GatewayProcess, acme: Tenant):
    def give(amount_usd: str, **limits) -> None:
        wishes = {"budgets": [{"amount_usd": amount_usd, "window": "monthly"}], **limits}
        set_limits(acme.org, acme.actor, ORGANISATION, "", wishes=wishes)
        let_all_hear(gateway, acme)

    return give


@pytest.fixture
def ask(gateway: GatewayProcess, acme: Tenant):
    def ask(tokens: int, headers: dict[str, str] | None = None, **more) -> httpx.Response:
        headers = {"Authorization": f"Bearer {acme.api_key}", **(headers or {})}
        return httpx.post(gateway.url + URL, json=body(tokens, **more), headers=headers, timeout=30)

    return ask


def body(tokens: int, **more) -> dict:
    return {"model": "sim-chat", "messages": [{"role": "user", "content": f"[[tokens:{tokens}]]"}]} | more


def found(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.headers.get("x-shareai-cache")


def settled(acme: Tenant, spent_tokens: int) -> bool:
    """All that was spent is posted, and nothing is held."""
    window = BudgetWindow.objects.select_related("account").get(org=acme.org)
    spent = window.allotted - window.account.balance
    return (spent, window.account.held) == (spent_tokens * TOKEN_NANOS, 0)


@pytest.mark.parametrize("bounded", [{"max_tokens": 10}, {}], ids=["bounded by its caller", "bounded by us"])
def test_a_spent_budget_refuses_nobody_whose_answer_is_free(acme, ask, give, upstreams, bounded):
    give("0.5")
    assert found(ask(10, **bounded)) == (200, "MISS")
    eventually(lambda: settled(acme, 10), 10)
    give("0.001")  # just what was spent
    kinds = [found(ask(10, stream=stream, **bounded)) for stream in (False, True, True, False)]
    assert kinds == [(200, "HIT")] * 4
    assert ask(11, **bounded).status_code == 402
    assert ask(10, {"Cache-Control": "no-cache"}, **bounded).status_code == 402
    assert len(upstreams.a.log.posts) == 1
    assert settled(acme, 10)


def test_a_short_budget_shortens_no_answer_that_is_free(acme, ask, give):
    give("0.01")  # a hundred tokens
    assert found(ask(60, max_tokens=60)) == (200, "MISS")
    eventually(lambda: settled(acme, 60), 10)
    again = ask(60, max_tokens=60)
    assert (found(again), again.json()["usage"]["completion_tokens"]) == ((200, "HIT"), 60)
    assert "x-shareai-max-tokens-clamped" not in again.headers
    assert ask(61, max_tokens=61).headers["x-shareai-max-tokens-clamped"] == "40"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_who_asks_what_somebody_is_paying_for_needs_no_budget(acme, gateway, give, upstreams, monkeypatch, stream):
    """The budget covers one of them; all get its answer."""
    give("0.001")
    monkeypatch.setattr(upstreams.a.manners, "first_token_s", 0.5)
    asked = body(10, max_tokens=10, stream=stream)
    answers = asyncio.run(at_once(gateway, acme, asked))
    assert Counter(answers) == {(200, "MISS"): 1, (200, "HIT"): AT_ONCE - 1}
    assert len(upstreams.a.log.posts) == 1
    eventually(lambda: settled(acme, 10), 10)


def test_limits_hold_for_free_answers_as_for_all(ask, give):
    give("0.001", rpm=3)
    kinds = [found(ask(10, max_tokens=10)) for _ in range(4)]
    assert kinds == [(200, "MISS"), (200, "HIT"), (200, "HIT"), (429, None)]


async def at_once(gateway: GatewayProcess, acme: Tenant, asked: dict) -> list[tuple[int, str | None]]:
    headers = {"Authorization": f"Bearer {acme.api_key}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def one() -> tuple[int, str | None]:
            async with session.post(gateway.url + URL, json=asked) as response:
                await response.read()
                return response.status, response.headers.get("x-shareai-cache")

        return await asyncio.gather(*(one() for _ in range(AT_ONCE)))
