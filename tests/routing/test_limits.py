"""Limits through a real gateway of two processes, in front of real upstreams."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from accounts.limits import set_key_limits, set_limits, set_member_limits
from accounts.models import Membership
from accounts.scopes import MODEL, ORGANISATION, ROUTE
from routing.services import put_route
from tests.ownredis import eventually
from tests.routing.hearing import let_all_hear
from tests.stack import GatewayProcess, Tenant, allow_of

URL = "/v1/chat/completions"
BODY = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hello"}]}
HEADERS = {"limit", "remaining", "reset"}


@pytest.fixture
def acme(tenant: Tenant, upstreams) -> Tenant:
    tenant.connect(upstreams.a.base_url, ["sim-chat"])
    tenant.connect(upstreams.b.base_url, ["other", "sim-chat"])
    return tenant


@pytest.fixture
def ask(gateway: GatewayProcess, acme: Tenant):
    """Each on a connection of its own, so that both processes serve."""

    def ask(key: str = "", **body) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or acme.api_key}"}
        return httpx.post(gateway.url + URL, json=BODY | body, headers=headers, timeout=30)

    return ask


async def asked_at_once(
    gateway: GatewayProcess, keys: list[str], models: list[str], times: int
) -> list[httpx.Response]:
    async def one(number: int) -> httpx.Response:
        async with httpx.AsyncClient(timeout=60) as client:
            headers = {"Authorization": f"Bearer {keys[number % len(keys)]}"}
            body = BODY | {"model": models[number % len(models)], "stream": number % 5 == 0}
            return await client.post(gateway.url + URL, json=body, headers=headers)

    return await asyncio.gather(*(one(number) for number in range(times)))


def test_ten_a_minute_are_ten_over_keys_connections_and_processes(gateway, acme, ask):
    keys = [acme.api_key, acme.new_key()[1], acme.new_key()[1]]
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpm": 100_000})
    let_all_hear(gateway, acme)
    for key in keys:
        ask(key)
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpd": 10})
    let_all_hear(gateway, acme)
    responses = asyncio.run(asked_at_once(gateway, keys, ["sim-chat", "other"], 40))
    assert Counter(response.status_code for response in responses) == {200: 10, 429: 30}
    assert {response.headers["x-ratelimit-limit-requests"] for response in responses} == {"10"}


def test_a_refusal_names_the_scope_and_says_when(gateway, acme, ask, upstreams):
    key, plain = acme.new_key()
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpm": 1000})
    set_key_limits(key, acme.actor, {"rpm": 2})
    let_all_hear(gateway, acme)
    upstreams.a.log.clear()
    first, second, third = ask(plain), ask(plain), ask(plain)
    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 429)
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    error = third.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert error["metadata"]["scope"] == "key"
    assert 0 < int(third.headers["retry-after-ms"]) <= 30_000
    assert third.headers["x-should-retry"] == "true"
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    assert ask().status_code == 200


def test_the_limits_of_a_member_a_route_and_a_model(gateway, acme, ask):
    put_route(acme.org, acme.actor, "fast", {"targets": [{"target": "sim-chat"}]})
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpm": 1000})
    set_limits(acme.org, acme.actor, ROUTE, "fast", wishes={"rpd": 1})
    set_limits(acme.org, acme.actor, MODEL, "other", wishes={"rpd": 1})
    let_all_hear(gateway, acme)
    assert [ask(model="fast").status_code for _ in range(2)] == [200, 429]
    refused = [ask(model="other") for _ in range(2)][1]
    assert refused.json()["error"]["metadata"]["scope"] == "model"
    assert (refused.json()["error"]["code"], refused.headers["x-should-retry"]) == ("quota_exceeded", "false")
    member = Membership.objects.get(org=acme.org, user=acme.owner)
    set_member_limits(member, acme.actor, {"rpm": 1})
    let_all_hear(gateway, acme)
    refused = [ask() for _ in range(2)][1]
    assert refused.json()["error"]["metadata"]["scope"] == "member"


def test_a_full_model_passes_the_request_on_within_its_route(gateway, acme, ask):
    legs = [{"target": "upstream-b/other"}, {"target": "upstream-a/sim-chat", "tier": 1}]
    put_route(acme.org, acme.actor, "either", {"targets": legs})
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpm": 1000})
    set_limits(acme.org, acme.actor, MODEL, "other", wishes={"rpd": 2})
    let_all_hear(gateway, acme)
    served = [ask(model="either").headers["x-shareai-target"] for _ in range(4)]
    assert served == ["upstream-b/other"] * 2 + ["upstream-a/sim-chat"] * 2


def test_a_fallback_asks_the_limit_of_where_it_falls_to(gateway, acme, ask, upstreams):
    legs = [{"target": "upstream-a/sim-chat"}, {"target": "upstream-b/other", "tier": 1}]
    put_route(acme.org, acme.actor, "either", {"targets": legs})
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpm": 1000})
    set_limits(acme.org, acme.actor, MODEL, "other", wishes={"rpd": 1})
    let_all_hear(gateway, acme)
    upstreams.a.fail("500")
    assert [ask(model="either").status_code for _ in range(2)] == [200, 502]


def test_tokens_are_estimated_and_then_corrected(gateway, acme, ask):
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpm": 1000, "tpd": 100_000})
    let_all_hear(gateway, acme)
    before = int(ask(max_tokens=1).headers["x-ratelimit-remaining-tokens"])
    held = ask(max_tokens=50_000)
    assert before - int(held.headers["x-ratelimit-remaining-tokens"]) > 49_000
    used = held.json()["usage"]["total_tokens"]
    eventually(lambda: before - int(ask(max_tokens=1).headers["x-ratelimit-remaining-tokens"]) < used + 1000, 20)
    assert int(ask(max_tokens=1).headers["x-ratelimit-remaining-tokens"]) < before


def test_slots_are_held_by_streams_and_given_back(acme, ask, gateway, upstreams):
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpm": 1000, "concurrency": 1})
    let_all_hear(gateway, acme)
    upstreams.a.fail("endless-tokens")
    headers = {"Authorization": f"Bearer {acme.api_key}"}
    with httpx.stream("POST", gateway.url + URL, json=BODY | {"stream": True}, headers=headers, timeout=30) as stream:
        parts = stream.iter_bytes()
        next(parts)
        refused = ask(model="other")
        assert refused.json()["error"]["code"] == "concurrency_limit_exceeded"
    eventually(lambda: ask(model="other").status_code == 200, 10)


def test_nothing_set_is_nothing_told(acme, ask):
    assert not [name for name in ask().headers if name.startswith("x-ratelimit")]


def test_a_process_that_is_killed_gives_its_slots_back(acme, ask, gateway, upstreams, tmp_path):
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpm": 1000, "concurrency": 1})
    let_all_hear(gateway, acme)
    upstreams.a.fail("endless-tokens")
    other = GatewayProcess(tmp_path, egress_allow=allow_of(upstreams))
    other.start()
    headers = {"Authorization": f"Bearer {acme.api_key}"}
    with httpx.stream("POST", other.url + URL, json=BODY | {"stream": True}, headers=headers, timeout=30) as stream:
        parts = stream.iter_bytes()
        next(parts)
        assert ask(model="other").status_code == 429
        other.kill()
    eventually(lambda: ask(model="other").status_code == 200, 30)


def test_redis_killed_and_back_never_more_than_the_share(acme, own_redis, upstreams, tmp_path):
    """Two processes, twelve a day. Nobody told them how many they are: they know each other from the host."""
    set_limits(acme.org, acme.actor, ORGANISATION, wishes={"rpd": 12})
    told = {"REDIS_URL": own_redis.url}
    gateway = GatewayProcess(tmp_path, egress_allow=allow_of(upstreams), workers=2, **told)
    gateway.start()
    try:
        eventually(lambda: own_redis.client.zcard("shareai:limit:processes") == 2, 20)
        before = _admitted(gateway, acme, 4)
        assert before == 4
        own_redis.kill()
        during = _admitted(gateway, acme, 40)
        assert during <= 12 - 2  # half of what is left as far as each knows, the other's half of all at most
        own_redis.start()
        eventually(lambda: own_redis.client.zcard("shareai:limit:processes") == 2, 20)
        after = _admitted(gateway, acme, 40)
        assert max(before + during, 12) == before + during + after
    finally:
        gateway.stop()


def _admitted(gateway: GatewayProcess, tenant: Tenant, times: int) -> int:
    responses = asyncio.run(asked_at_once(gateway, [tenant.api_key], ["sim-chat"], times))
    codes = Counter(response.status_code for response in responses)
    assert codes.keys() <= {200, 429}, codes
    return codes[200]
