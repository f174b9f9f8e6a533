"""Where a stream's bytes leave: ASGI's `send`, called without a task as long as the caller keeps up.

A server's `send` waits for nothing while the caller reads what it is sent; it is then a plain call in a coroutine's
clothes, and is made in the step of the loop in which the bytes came in. When it does wait, a task takes it from
there, what comes meanwhile queues up here, and the upstream is held back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from time import monotonic
from typing import Any

from common.asgi import Send
from routing.flights import Flight


class Sink:
    __slots__ = ("_direct", "_flight", "_on_full", "_on_room", "_queue", "_send", "_waiting")

    def __init__(self, send: Send, flight: Flight) -> None:
        self._direct = flight.write_chunk or (flight.writer.chunks() if flight.writer else _never)
        self._send = send
        self._flight = flight
        self._queue: list[bytes] = []
        self._waiting: asyncio.Task[None] | None = None
        self._on_full: Callable[[], None] = _nothing
        self._on_room: Callable[[], None] = _nothing

    def watch(self, on_full: Callable[[], None], on_room: Callable[[], None]) -> None:
        """Who is to be told when the caller stops taking bytes, and when it takes them again."""
        self._on_full, self._on_room = on_full, on_room

    def write(self, chunk: bytes) -> None:
        if self._waiting is not None:
            self._queue.append(chunk)
            return
        if self._direct(chunk):
            self._flight.waiting_since = monotonic()
            return
        sending: Any = self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        try:
            waits_for = sending.send(None)
        except StopIteration:
            self._flight.waiting_since = monotonic()
            return
        except OSError:
            return  # the caller is gone, which the sweep notices as well
        self._flight.waiting_since, self._flight.sending_since = None, monotonic()
        self._on_full()
        self._waiting = asyncio.get_running_loop().create_task(self._wait(_Begun(sending, waits_for)))

    async def flushed(self) -> None:
        """Returns when the server has taken all that was written."""
        if self._waiting is not None:
            await self._waiting

    def drop(self) -> None:
        """Gives up what the caller did not take."""
        self._queue.clear()
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self, begun: _Begun) -> None:
        try:
            await begun
            while self._queue:
                self._flight.sending_since = monotonic()
                chunk = b"".join(self._queue)
                self._queue.clear()
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            self._waiting = None
        self._flight.waiting_since, self._flight.sending_since = monotonic(), None
        self._on_room()


class _Begun:
    """A coroutine that was driven by hand up to its first wait; awaiting this drives it to its end."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, None, None]:
        coroutine, waits_for = self._coroutine, self._waits_for
        try:
            while True:
                try:
                    yield waits_for
                except BaseException as error:  # noqa: BLE001  passed on, whatever it is
                    waits_for = coroutine.throw(error)
                else:
                    waits_for = coroutine.send(None)
        except StopIteration:
            return


def _nothing() -> None: ...


def _never(chunk: bytes) -> bool:
    return False
