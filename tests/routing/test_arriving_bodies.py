"""Bodies that arrive at the same time: nobody has shown a key yet, so what they take together is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from routing import asgi
from routing.asgi import LeanHandler
from routing.flights import Flights

Message = MutableMapping[str, Any]
MIB = 1 << 20
PIECE: Message = {"type": "http.request", "body": bytes(MIB), "more_body": True}
LAST: Message = {"type": "http.request", "body": b"", "more_body": False}


class Caller:
    """Sends what it is told to, to an address that leads nowhere, and keeps the status that it is answered with."""

    def __init__(self, handler: LeanHandler, *messages: Message) -> None:
        self.status = 0
        self._handler = handler
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.say(*messages)

    def say(self, *messages: Message) -> None:
        for message in messages:
            self._messages.put_nowait(message)

    async def call(self) -> int:
        scope = {"type": "http", "method": "POST", "path": "/v1/nowhere", "headers": []}
        await self._handler(scope, self._messages.get, self._send)
        return self.status

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)


@pytest.fixture
def handler(monkeypatch) -> LeanHandler:
    monkeypatch.setattr(asgi, "MOST_GATHERED_BYTES", 4 * MIB)
    return LeanHandler("routing.urls", Flights())


async def test_who_comes_when_there_is_no_room_comes_again(handler):
    waiting = [Caller(handler, PIECE, PIECE) for _ in range(2)]
    calls = [asyncio.create_task(caller.call()) for caller in waiting]
    await asyncio.sleep(0)
    assert await Caller(handler, PIECE, LAST).call() == 503
    assert await Caller(handler, {**LAST, "body": b"{}"}).call() == 404  # a small one is there at once
    for caller in waiting:
        caller.say(LAST)
    assert await asyncio.gather(*calls) == [404, 404]
    assert await Caller(handler, PIECE, LAST).call() == 404


async def test_who_left_takes_no_room(handler):
    for _ in range(5):
        await Caller(handler, PIECE, {"type": "http.disconnect"}).call()
    assert await Caller(handler, *[PIECE] * 11, LAST).call() == 503
    assert await Caller(handler, *[PIECE] * 3, LAST).call() == 404
