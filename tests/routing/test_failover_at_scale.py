"""Thousands of requests while A fails in every way before its first content: each caller gets one right answer."""

from __future__ import annotations

from collections import Counter

import pytest

from demo.faults import MENU
from demo.faults.catalogue import Kind
from tests.fakes.wirelog import settled
from tests.routing.crowd import DONE, LONG, WHOLE, Heard, at_once, crowd, exchanges_by_sentinel, said_by, sentinels

MODEL = "sim-chat"
COUNT = 20_000 if LONG else 2_000

CALLERS_OWN_FAULT = {"400", "422"}
TAKES_THE_KEY_AWAY = {"401", "403", "429-retry-after-huge"}
"""After one of these A would not be asked again, so another connection, C, has them."""

EARLY = {slug for slug, kind in MENU.items() if kind is Kind.EARLY} - CALLERS_OWN_FAULT - TAKES_THE_KEY_AWAY
BEFORE_THE_ANSWER = {
    False: EARLY | {slug for slug, kind in MENU.items() if kind is Kind.MIDWAY} | {"endless-comments", "gzip-bomb"},
    True: EARLY | {"endless-comments", "gzip-bomb", "event-10mib"},
}


@pytest.fixture
def three(impatient_tenant, upstreams):
    keys = [f"key-of-c-{number}" for number in range(4)]
    upstreams.c.keys.update(keys)
    upstreams.c.fail("|".join(sorted(TAKES_THE_KEY_AWAY)) + "@0.3")
    upstreams.a.manners.retry_after_s = 0
    impatient_tenant.connect(upstreams.a.base_url, [MODEL], priority=20)
    impatient_tenant.connect(upstreams.b.base_url, [MODEL], priority=30)
    impatient_tenant.connect(upstreams.c.base_url, [MODEL], priority=10, api_keys=keys)
    yield upstreams
    upstreams.a.manners.retry_after_s = 1
    upstreams.c.keys.difference_update(keys)


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_every_caller_gets_one_right_and_whole_answer(impatient, impatient_tenant, three, stream):
    faults = BEFORE_THE_ANSWER[stream]
    three.a.fail("|".join(sorted(faults)) + "@0.3")
    async with crowd(impatient.url, impatient_tenant.api_key, MODEL) as callers:
        heard = await at_once(lambda sentinel: callers.ask(sentinel, stream=stream), sentinels(COUNT))
    await three.a.log.until(settled)
    assert [(one.status, one.raw[-500:]) for one in heard if one.end != (DONE if stream else WHOLE)] == []
    assert [one for one in heard if one.text != said_by(one.server, one.sentinel)] == []
    _assert_answered_once(heard, exchanges_by_sentinel(three))
    _assert_everything_was_tried(heard, three, faults)


def _assert_answered_once(heard: list[Heard], exchanges: dict) -> None:
    assert len({one.request_id for one in heard}) == len(heard)
    assert exchanges.keys() == {one.sentinel for one in heard}
    for one in heard:
        answered = [name for name, exchange in exchanges[one.sentinel] if exchange.fault == "ok"]
        assert answered == [one.server], one
        assert int(one.headers["x-shareai-attempts"]) <= len(exchanges[one.sentinel])


def _assert_everything_was_tried(heard: list[Heard], upstreams, faults: set[str]) -> None:
    met = Counter(exchange.fault for exchange in upstreams.a.log.posts)
    assert met.keys() >= faults
    assert {exchange.fault for exchange in upstreams.c.log.posts} & TAKES_THE_KEY_AWAY
    asked = len(upstreams.a.log.posts)
    assert asked > 400  # its breaker keeps the rest away, more of them the slower the machine
    assert sum(met[fault] for fault in faults) >= asked // 5
    assert {"A", "B"} <= {one.server for one in heard}
