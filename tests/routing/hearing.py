"""Waits until every process of a gateway has heard of what was changed, without asking for an answer of a model."""

from __future__ import annotations

import asyncio
import time

import httpx

from common.ids import new_id
from routing.services import put_route
from tests.stack import GatewayProcess, Tenant

AT_ONCE = 12
ROUNDS = 2
PATIENCE_S = 20.0


def let_all_hear(gateway: GatewayProcess, tenant: Tenant, target: str = "sim-chat") -> None:
    """A route is made last; who lists it has heard of all that was made before.

    Connections of one round are open at once, so that each process has some of them.
    """
    last = new_id("route")
    put_route(tenant.org, tenant.actor, last, {"targets": [{"target": target}]})
    asyncio.run(_listed(f"{gateway.base_url}/models/{last}", tenant.api_key))


async def _listed(url: str, key: str) -> None:
    until, heard = time.monotonic() + PATIENCE_S, 0
    while heard < ROUNDS:
        assert time.monotonic() < until, "not every process heard of it"
        answers = await asyncio.gather(*(_asked(url, key) for _ in range(AT_ONCE)))
        heard = heard + 1 if set(answers) == {200} else 0


async def _asked(url: str, key: str) -> int:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        return (await client.get(url, headers={"Authorization": f"Bearer {key}"})).status_code
