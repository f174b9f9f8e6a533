"""What a reader gets who comes late: all of it, in order."""

from __future__ import annotations

import asyncio

from nodes.link import head_of
from providers.failures import UpstreamFailure
from tests.fakes.node import Exchange
from tests.nodes.tunnelling import serving

BODY = b"".join(b"%7d\n" % line for line in range(150_000))


class Keeping:
    def __init__(self) -> None:
        self.got = bytearray()
        self.over: asyncio.Future[UpstreamFailure | None] = asyncio.get_running_loop().create_future()

    def data(self, chunk: bytes) -> None:
        self.got += chunk

    def ended(self, failure: UpstreamFailure | None) -> None:
        self.over.set_result(failure)


async def test_what_waited_for_a_follower_comes_before_what_was_under_way():
    came = 0

    async def pour(exchange: Exchange) -> None:
        nonlocal came
        await exchange.begin()
        for start in range(0, len(BODY), 8192):
            await exchange.send(BODY[start : start + 8192], ended=start + 8192 >= len(BODY))
            came = start

    async with serving() as console, console.node() as node:
        node.answer_with(pour)
        link = await console.until_connected()
        answer = await link.ask(head_of("/v1/chat/completions", ()), b"{}")
        before = -1
        while came != before:  # until the console takes no more
            before = came
            await asyncio.sleep(0.1)
        assert came < len(BODY) - 8192
        following = Keeping()
        answer.follow(following)
        async with asyncio.timeout(10):
            assert await following.over is None
        assert bytes(following.got) == BODY
