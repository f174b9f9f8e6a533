"""What is told to be in use of a limit is what the gate has admitted."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import redis

from accounts.models import Limit
from accounts.scopes import KEY, ORGANISATION
from metering import in_use as module
from metering.in_use import in_use
from tests.metering.test_gate import charged, gates


def told(*limits: Limit) -> dict[str, int | None]:
    return {f"{one.limit.scope} {one.bound.name}": one.used for found in in_use(limits).values() for one in found}


async def test_rates_and_slots_are_told_as_they_were_taken():
    org_id = uuid4().int % 10**9
    whole = Limit(pk=1, org_id=org_id, scope=ORGANISATION, rpd=10, tpd=1000, concurrency=4)
    key = Limit(pk=2, org_id=org_id, scope=KEY, subject="7", rpd=3)
    before = await asyncio.to_thread(in_use, [whole, key])
    of_whole, of_key = ([one.bound for one in before[limit.pk]] for limit in (whole, key))
    assert {one.used for found in before.values() for one in found} == {0}
    async with gates(1) as (gate,):
        for _ in range(2):
            assert (await gate.admit(charged(of_whole, 400))).binding < 0
        for _ in range(3):
            assert (await gate.admit(charged(of_key))).binding < 0
        assert await asyncio.to_thread(told, whole, key) == {
            "organisation rpd": 2,
            "organisation tpd": 800,
            "organisation concurrency": 2,
            "key rpd": 3,
        }
    after = await asyncio.to_thread(told, whole)
    assert after["organisation concurrency"] == 0, "slots of a process that has ended are nobody's"


def test_with_redis_away_nobody_knows(monkeypatch):
    away = redis.Redis(port=1, socket_connect_timeout=0.1)
    monkeypatch.setattr(module, "client", lambda: away)
    assert told(Limit(pk=1, org_id=1, scope=ORGANISATION, rpm=10)) == {"organisation rpm": None}
