"""The script in Redis against the plain arithmetic: the same requests at the same times get the same answers."""

from __future__ import annotations

import os
from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from common.ids import new_id
from common.ratelimit import cost_us, remaining, wait_us
from metering.gate import SCRIPT

REDIS = Redis.from_url(os.environ["REDIS_URL"])
SCRIPT_CALL = REDIS.register_script(SCRIPT)
START_US = 1_790_000_000_000_000
MINUTE_US = 60_000_000

limits = st.integers(1, 2000)
gaps_us = st.one_of(st.just(0), st.integers(0, 200_000), st.integers(0, 90_000_000))
steps = st.lists(st.tuples(gaps_us, st.integers(1, 40)), min_size=1, max_size=40)


def call(now_us: float, buckets: list[str], *operations: tuple) -> list:
    batch = msgspec.msgpack.encode((now_us, "tests", 1e6, operations))
    return msgspec.msgpack.decode(SCRIPT_CALL(keys=[new_id("alive"), *buckets], args=[batch]))[1:]


@settings(max_examples=60)
@given(limits, limits, steps)
def test_it_decides_as_the_arithmetic_does(wide, narrow, steps):
    buckets = [new_id("bucket"), new_id("bucket")]
    windows = [(wide, MINUTE_US), (narrow, 10 * MINUTE_US)]
    ahead_us, now_us = [0.0, 0.0], START_US
    for gap_us, units in steps:
        now_us += gap_us
        ahead_us = [max(ahead - gap_us, 0.0) for ahead in ahead_us]
        costs = [cost_us(units, limit, window) for limit, window in windows]
        waits = [wait_us(a, c, w) for a, c, (_, w) in zip(ahead_us, costs, windows, strict=True)]
        checks = [(2 + index, costs[index], windows[index][1]) for index in (0, 1)]
        ((binding, wait, *states),) = call(now_us, buckets, (1, *checks))
        if max(waits) == 0:
            ahead_us = [ahead + cost for ahead, cost in zip(ahead_us, costs, strict=True)]
            assert binding == 0
        else:
            assert binding > 0
            assert abs(waits[binding - 1] - max(waits)) < 1
            assert abs(wait - max(waits)) < 1
        assert all(abs(state - ahead) < 1 for state, ahead in zip(states, ahead_us, strict=True))


@settings(max_examples=60)
@given(limits, steps)
def test_no_window_admits_more_than_the_limit_twice_and_what_has_passed_is_exact(limit, steps):
    """Whole numbers instead of floats say how much may have come at most: the limit, and its rate for the time."""
    bucket, now_us, taken = new_id("bucket"), START_US, 0
    for gap_us, units in steps:
        now_us += gap_us
        ((binding, _, ahead),) = call(now_us, [bucket], (1, (2, cost_us(units, limit, MINUTE_US), MINUTE_US)))
        taken += units if binding == 0 else 0
        assert taken <= limit + Fraction(now_us - START_US) * limit / MINUTE_US
        assert 0 <= remaining(ahead, limit, MINUTE_US) <= limit


@given(limits)
def test_exactly_the_limit_comes_at_once(limit):
    bucket = new_id("bucket")
    check = (2, cost_us(1, limit, MINUTE_US), MINUTE_US)
    answers = call(START_US, [bucket], *((1, check) for _ in range(limit + 3)))
    assert [binding for binding, *_ in answers] == [0] * limit + [1] * 3


def test_a_process_that_is_not_alive_holds_no_slot():
    alive, bucket = new_id("alive"), new_id("bucket")

    def ask(process: str, now_us: int) -> int:
        batch = msgspec.msgpack.encode((now_us, process, 1e6, [(1, (2, -1, 2))]))
        return msgspec.msgpack.decode(SCRIPT_CALL(keys=[alive, bucket], args=[batch]))[1][0]

    assert [ask("a", START_US), ask("a", START_US), ask("b", START_US + 900_000)] == [0, 0, 1]
    assert [ask("b", START_US + 1_100_000), ask("b", START_US + 1_200_000)] == [0, 0]
    assert ask("a", START_US + 1_300_000) == 1
