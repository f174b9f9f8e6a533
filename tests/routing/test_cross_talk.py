"""Half of many callers leave in the middle: nobody gets another's bytes, and each pays for what was delivered."""

from __future__ import annotations

import asyncio
import random

import pytest

from demo.answers.tokens import pieces
from metering.models import Usage
from metering.tokens import count_tokens
from tests.fakes.wirelog import End, Exchange, settled
from tests.routing.crowd import DONE, LEFT, LONG, Heard, at_once, crowd, exchanges_by_sentinel, said_by, sentinels

MODEL = "sim-chat"
COUNT = 20_000 if LONG else 800
CONCURRENCY = 64
ENDLESS_TOKENS = 600
TOLD_WITHIN_S = 5.0
"""From a caller's leaving to the upstream's hearing of it: a second at most, and more on a busy machine."""
PREFIX_SLACK_TOKENS = 3
"""A text cut in the middle of a word may have more tokens than the whole."""


@pytest.fixture
def served(tenant, upstreams):
    tenant.connect(upstreams.a.base_url, [{"id": MODEL, "input_price": "1", "output_price": "2"}])
    upstreams.a.manners.token_interval_s = 0.01
    yield tenant
    upstreams.a.manners.token_interval_s = 0


async def test_sentinels_stay_with_their_callers(gateway, served, upstreams):
    chance = random.Random(7)
    leaving = {sentinel: chance.random() < 0.5 for sentinel in sentinels(COUNT)}
    async with crowd(gateway.url, served.api_key, MODEL) as callers:

        async def ask(sentinel: str) -> Heard:
            if not leaving[sentinel]:
                return await callers.ask(sentinel, stream=True)
            endless = f"{sentinel} [[tokens:{ENDLESS_TOKENS}]]"
            return await callers.ask(endless, stream=True, leave_after=chance.randrange(1, 6000))

        heard = await at_once(ask, leaving, CONCURRENCY)
    # By itself each of these would go on for six seconds and then be complete.
    await upstreams.a.log.until(settled, TOLD_WITHIN_S)
    for one in heard:
        _assert_only_its_own(one)
    exchanges = exchanges_by_sentinel(upstreams)
    left = [one for one in heard if one.end == LEFT]
    assert COUNT / 3 < len(left) < COUNT * 2 / 3
    assert {exchange.end for one in left for _, exchange in exchanges[one.sentinel]} == {End.CLIENT_LEFT}
    await _assert_billed(served, heard, exchanges)


def _assert_only_its_own(one: Heard) -> None:
    bare = one.sentinel.partition(" [[")[0]
    whole = said_by("A", bare)
    if one.end == DONE:
        assert one.text == whole
    else:
        assert one.end == LEFT
        assert (whole + " and so on" * 20_000).startswith(one.text)


async def _assert_billed(tenant, heard: list[Heard], exchanges: dict) -> None:
    rows = Usage.objects.filter(org_id=tenant.org.pk)
    async with asyncio.timeout(30):
        while await rows.acount() < len(heard):
            await asyncio.sleep(0.1)
    by_id = {row.request_id: row async for row in rows}
    assert by_id.keys() == {one.request_id for one in heard}
    for one in heard:
        row, [(_, exchange)] = by_id[one.request_id], exchanges[one.sentinel]
        if one.end == DONE:
            assert (row.billing_reason, row.status) == ("completed", 200)
            assert row.output_tokens == exchange.usage["completion_tokens"]
        else:
            assert (row.billing_reason, row.status, row.usage_source) == ("cancelled_delivered", 499, "counted")
            least, most = count_tokens(one.text), count_tokens(_sent_text(exchange))
            assert least - PREFIX_SLACK_TOKENS <= row.output_tokens <= most + PREFIX_SLACK_TOKENS
        assert row.cost_nanos == row.input_tokens * 1_000 + row.output_tokens * 2_000


def _sent_text(exchange: Exchange) -> str:
    return "".join(pieces(exchange.text)[: exchange.sent_tokens])
