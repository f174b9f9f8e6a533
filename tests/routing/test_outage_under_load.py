"""A provider is killed and comes back under steady load: callers hardly notice. One that slows down is left soon."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest

from routing.services import put_route
from tests.routing.crowd import LONG

BODY = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hello"}]}
URL = "/v1/chat/completions"
PER_S = 50
BEFORE_S, DOWN_S, AFTER_S = (30, 600, 120) if LONG else (2, 6, 4)
SUCCESS = 0.999
SWITCHED_WITHIN = 20


@pytest.fixture
def two(tenant, upstreams):
    """C before B."""
    tenant.connect(upstreams.c.base_url, ["sim-chat"])
    tenant.connect(upstreams.b.base_url, ["sim-chat"])
    return tenant


async def offered(client: httpx.AsyncClient, seconds: float) -> list[str]:
    """So many requests a second, whatever became of those before. Returns: who answered each, or the status."""

    async def one() -> str:
        response = await client.post(URL, json=BODY)
        return response.headers["x-shareai-target"] if response.status_code == 200 else str(response.status_code)

    tasks = []
    for _ in range(round(seconds * PER_S)):
        tasks.append(asyncio.create_task(one()))
        await asyncio.sleep(1 / PER_S)
    return await asyncio.gather(*tasks)


async def test_an_outage_under_load_costs_at_most_one_request_in_a_thousand(gateway, two, upstreams):
    headers = {"Authorization": f"Bearer {two.api_key}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as client:
        heard = await offered(client, BEFORE_S)
        assert Counter(heard).most_common(1)[0][0] == "upstream-a/sim-chat"
        await asyncio.to_thread(upstreams.c.close)
        try:
            heard += await offered(client, DOWN_S)
        finally:
            await asyncio.to_thread(upstreams.c.__enter__)
        heard += await offered(client, AFTER_S)
    good = sum(name.startswith("upstream-") for name in heard)
    assert good >= SUCCESS * len(heard), Counter(heard)
    assert Counter(heard)["upstream-b/sim-chat"] >= DOWN_S * PER_S / 2


def test_fastest_leaves_a_target_that_slows_down_within_twenty_requests(gateway, tenant, upstreams):
    tenant.connect(upstreams.c.base_url, ["sim-chat"])
    tenant.connect(upstreams.b.base_url, ["sim-chat"])
    legs = [{"target": "upstream-a/sim-chat"}, {"target": "upstream-b/sim-chat"}]
    put_route(tenant.org, tenant.actor, "quick", {"targets": legs, "strategy": "fastest"})
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    upstreams.b.manners.first_token_s = 0.1
    try:
        with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as one_process:

            def served_by() -> str:
                response = one_process.post(URL, json=BODY | {"model": "quick"})
                assert response.status_code == 200
                return response.headers["x-shareai-target"]

            measured = [served_by() for _ in range(12)]
            assert measured[-1] == "upstream-a/sim-chat"
            upstreams.c.manners.first_token_s = 3.0  # a busy machine delays the other too, and not by as much
            after = [served_by() for _ in range(SWITCHED_WITHIN + 10)]
    finally:
        upstreams.b.manners.first_token_s = upstreams.c.manners.first_token_s = 0
    assert after.index("upstream-b/sim-chat") <= SWITCHED_WITHIN
    assert set(after[SWITCHED_WITHIN:]) == {"upstream-b/sim-chat"}
