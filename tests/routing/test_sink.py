"""Bytes on their way out: straight through while the caller takes them, queued and held back while it does not."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from time import monotonic
from typing import Any

import pytest

from routing.flights import Flight
from routing.sink import Sink


class Server:
    """ASGI's `send`, which waits while `taking` is clear, as servers do whose buffer is full."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.taking = asyncio.Event()
        self.taking.set()
        self.told: list[str] = []
        task = asyncio.current_task()
        assert task is not None
        self.flight = Flight(task, self._receive, monotonic())
        self.sink = Sink(self.send, self.flight)
        self.sink.watch(lambda: self.told.append("full"), lambda: self.told.append("room"))

    async def _receive(self) -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.taking.wait()
        self.sent.append(message["body"])


async def test_what_is_taken_is_sent_in_the_same_step() -> None:
    server = Server()
    server.sink.write(b"a")
    server.sink.write(b"b")
    assert server.sent == [b"a", b"b"]
    assert server.told == []
    assert server.flight.waiting_since is not None


async def test_what_is_not_taken_waits_in_order_and_the_upstream_is_told() -> None:
    server = Server()
    server.taking.clear()
    for chunk in (b"a", b"b", b"c"):
        server.sink.write(chunk)
    await asyncio.sleep(0)
    assert (server.sent, server.told) == ([], ["full"])
    assert server.flight.sending_since is not None
    assert server.flight.waiting_since is None
    server.taking.set()
    await server.sink.flushed()
    assert b"".join(server.sent) == b"abc"
    assert server.told == ["full", "room"]
    assert server.flight.sending_since is None
    server.sink.write(b"d")
    assert server.sent[-1] == b"d"


async def test_it_can_fill_up_again_and_again() -> None:
    server = Server()
    for number in range(50):
        (server.taking.clear if number % 2 else server.taking.set)()
        server.sink.write(b"%d," % number)
        await asyncio.sleep(0)
    server.taking.set()
    await server.sink.flushed()
    assert b"".join(server.sent) == b"".join(b"%d," % number for number in range(50))


async def test_flushed_at_once_when_nothing_waits() -> None:
    await Server().sink.flushed()


async def test_what_is_dropped_is_never_sent() -> None:
    server = Server()
    server.taking.clear()
    server.sink.write(b"a")
    server.sink.write(b"b")
    await asyncio.sleep(0)
    server.sink.drop()
    server.taking.set()
    await asyncio.sleep(0.01)
    assert server.sent == []


async def test_a_caller_who_is_gone_raises_nothing() -> None:
    server = Server()

    async def gone(message: MutableMapping[str, Any]) -> None:
        raise OSError

    Sink(gone, server.flight).write(b"a")


async def test_a_fault_of_the_server_reaches_whoever_waits_for_the_flush() -> None:
    server = Server()

    async def faulty(message: MutableMapping[str, Any]) -> None:
        await asyncio.sleep(0)
        raise ValueError

    sink = Sink(faulty, server.flight)
    sink.write(b"a")
    with pytest.raises(ValueError):
        await sink.flushed()
