"""Many gates on one real Redis: what they admit together, and what each admits when Redis is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from accounts.scopes import LimitRecord
from common.ids import new_id
from metering.bounds import Bounds, bounds_of
from metering.gate import Gate
from tests.ownredis import OwnRedis

REDIS_URL = os.environ["REDIS_URL"]


def bounds(scope: str = "organisation", **limits: int) -> Bounds:
    """Of somebody whom no other test limits."""
    return bounds_of(1, LimitRecord(scope, new_id("limited"), **limits))


@asynccontextmanager
async def gates(count: int, url: str = REDIS_URL, **options) -> AsyncIterator[list[Gate]]:
    async with AsyncExitStack() as stack:
        made = [Gate(url, **options) for _ in range(count)]
        for gate in made:
            gate.start()
            stack.push_async_callback(gate.aclose)
        await until(lambda: all(gate.is_connected for gate in made))
        yield made


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


def charged(found: Bounds, tokens: int = 1) -> list:
    return [(bound, tokens if bound.unit == "tokens" else 1) for bound in found]


async def admitted(gate: Gate, charges, times: int) -> int:
    verdicts = await asyncio.gather(*(gate.admit(charges) for _ in range(times)))
    return sum(verdict.binding < 0 for verdict in verdicts)


async def test_together_they_admit_the_limit_and_no_more():
    charges = charged(bounds(rpm=10))
    async with gates(3) as three:
        assert sum(await asyncio.gather(*(admitted(gate, charges, 20) for gate in three))) == 10


async def test_what_one_scope_forbids_takes_nothing_of_the_others():
    wide, narrow = bounds(rpm=100), bounds("key", rpm=3)
    async with gates(1) as (gate,):
        assert await admitted(gate, charged(wide + narrow), 50) == 3
        refused = await gate.admit(charged(wide + narrow))
        assert refused.binding == 1
        assert 0 < refused.wait_us <= 20_000_000
        assert await admitted(gate, charged(wide), 200) == 97


async def test_what_was_charged_too_much_comes_back():
    found = bounds(tpm=1000)
    async with gates(2) as (here, there):
        assert (await here.admit(charged(found, 1000))).binding < 0
        assert (await there.admit(charged(found, 400))).binding == 0
        here.correct(found[0], -500)
        await asyncio.sleep(0.05)
        assert (await there.admit(charged(found, 400))).binding < 0
        assert (await there.admit(charged(found, 400))).binding == 0


async def test_slots_are_counted_over_all_and_given_back():
    found = bounds(concurrency=3)
    async with gates(2) as (here, there):
        assert await admitted(here, charged(found), 2) == 2
        assert await admitted(there, charged(found), 5) == 1
        here.release(found[0])
        await asyncio.sleep(0.05)
        assert await admitted(there, charged(found), 5) == 1


async def test_a_process_that_stays_silent_holds_no_slots():
    found = bounds(concurrency=2)
    async with gates(1, lease_s=0.6) as (survivor,), gates(1, lease_s=0.6) as (victim,):
        assert await admitted(victim, charged(found), 2) == 2
        assert await admitted(survivor, charged(found), 2) == 0
        die_without_a_word(victim)
        await until_admitted(survivor, charged(found))
        assert await admitted(survivor, charged(found), 5) == 1


def die_without_a_word(gate: Gate) -> None:
    """As by `kill -9`: the connection breaks, nothing is said any more."""
    gate._beating.cancel()
    gate._line.close()


async def until_admitted(gate: Gate, charges) -> None:
    async with asyncio.timeout(10):
        while (await gate.admit(charges)).binding >= 0:
            await asyncio.sleep(0.05)


async def test_who_leaves_while_waiting_takes_nothing():
    found = bounds(rpm=5, concurrency=5)
    async with gates(1) as (gate,):
        asked = [asyncio.create_task(gate.admit(charged(found))) for _ in range(5)]
        await asyncio.sleep(0)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert await admitted(gate, charged(found), 20) == 5


@pytest.fixture
def own_redis():
    with OwnRedis() as own:
        yield own


async def test_redis_away_each_admits_its_share(own_redis):
    charges = charged(bounds(rpm=12))
    async with gates(3, own_redis.url) as three:
        await until(lambda: all(gate.processes == 3 for gate in three))
        own_redis.kill()
        await until(lambda: not any(gate.is_connected for gate in three))
        assert [await admitted(gate, charges, 20) for gate in three] == [4, 4, 4]


async def test_who_has_come_since_the_last_look_has_a_share_too(own_redis):
    here = 1
    async with gates(1, own_redis.url, count_here=lambda: here) as (gate,):
        here = 2
        own_redis.kill()
        await until(lambda: not gate.is_connected)
        assert await admitted(gate, charged(bounds(rpm=12)), 20) == 6


async def test_what_was_admitted_before_and_during_an_outage_counts_after_it(own_redis):
    found = bounds(rpm=12, concurrency=24)
    charges = charged(found)
    async with gates(2, own_redis.url) as (here, there):
        await until(lambda: here.processes == there.processes == 2)
        assert await admitted(here, charges, 4) == 4
        own_redis.kill()
        await until(lambda: not here.is_connected and not there.is_connected)
        during = await admitted(here, charges, 20) + await admitted(there, charges, 3)
        assert during == 4 + 3  # half of the 8 that were left, and some of its half: it had heard of none
        own_redis.start()
        await until(lambda: here.is_connected and there.is_connected)
        await asyncio.sleep(0.1)
        total = 4 + during + await admitted(there, charges, 20) + await admitted(here, charges, 20)
        assert total == 12


async def test_what_accepts_and_then_says_nothing_holds_nobody_up(own_redis):
    async with gates(1, own_redis.url) as (gate,):
        own_redis.kill()
        caught: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        silent = await asyncio.start_server(
            lambda _, writer: caught.put_nowait(writer),
            *own_redis.url.removesuffix("/0").rpartition("//")[2].split(":"),
        )
        writer = await caught.get()
        silent.close()
        own_redis.start()
        await until(lambda: gate.is_connected)
        writer.close()


async def test_while_redis_is_gone_from_the_start_the_settings_say_the_share():
    gate = Gate("redis://127.0.0.1:1/0", least_processes=4)
    gate.start()
    try:
        assert await admitted(gate, charged(bounds(rpm=100)), 200) == 25
        assert await admitted(gate, charged(bounds(concurrency=9)), 20) == 2
        assert await admitted(gate, charged(bounds(rpm=3)), 20) == 0
    finally:
        await gate.aclose()


async def test_at_five_times_the_load_the_rate_is_the_limit():
    """After the burst, over three seconds: not one more than the limit's rate for that time, nor 1 % fewer."""
    per_minute = 12_000
    charges = charged(bounds(rpm=per_minute))
    async with gates(2) as both:
        clock, taken = asyncio.get_running_loop().time, 0
        earliest = clock()
        while await admitted(both[0], charges, 1000) == 1000:
            earliest = clock()
        began = asked = clock()
        while asked - began < 3:
            asked = clock()
            due = round(5 * per_minute / 60 * 0.01)
            taken += sum(await asyncio.gather(*(admitted(gate, charges, due // 2) for gate in both)))
            answered = clock()
            await asyncio.sleep(0.01)
        # Redis decided between what was asked and what was answered, however busy the machine.
        assert 0.99 * (asked - began) * per_minute / 60 - 2 <= taken <= (answered - earliest) * per_minute / 60 + 2
