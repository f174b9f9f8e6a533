"""One stream for many callers: what has been said so far, and who listens to it.

    upstream → Live.write → Sink of each listener, in the step that received the chunk

A listener that comes late gets first what was said. One that does not read is left behind, at its place in what is
held here, and catches up when it reads again; only when more is held than an entry may have does the upstream wait.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from routing.cache_entries import MOST_ENTRY_BYTES
from routing.sink import Sink


class Live:
    """Holds up to `most_bytes`, and so is whole as long as no more was said."""

    def __init__(self, most_bytes: int = MOST_ENTRY_BYTES) -> None:
        self.is_whole = True
        self._most_bytes = most_bytes
        self._chunks: list[bytes] = []
        self._dropped = 0
        self._held_bytes = 0
        self._listeners: set[Listener] = set()
        self._room = asyncio.Event()

    def write(self, chunk: bytes) -> bool:
        """False when it must wait: somebody lags too far behind. The chunk is then to be given to `write_late`."""
        if self._held_bytes + len(chunk) > self._most_bytes and not self._has_room():
            return False
        self._say(chunk)
        return True

    async def write_late(self, chunk: bytes) -> None:
        while not self.write(chunk):
            self._room.clear()
            await self._room.wait()

    def enter(self, listener: Listener) -> None:
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        self._room.set()

    def said_since(self, place: int) -> tuple[bytes, int]:
        """What follows a listener's place, and its new place."""
        self._room.set()
        return b"".join(self._chunks[place - self._dropped :]), self._dropped + len(self._chunks)

    def end(self) -> None:
        for listener in list(self._listeners):
            listener.ended()

    def _say(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._held_bytes += len(chunk)
        for listener in list(self._listeners):
            listener.said(chunk)

    def _has_room(self) -> bool:
        """After letting go of what all have heard. What is held is then no whole answer any more."""
        self.is_whole = False
        slowest = min((listener.place for listener in self._listeners), default=self._dropped + len(self._chunks))
        gone, self._chunks = self._chunks[: slowest - self._dropped], self._chunks[slowest - self._dropped :]
        self._dropped = slowest
        self._held_bytes -= sum(map(len, gone))
        return self._held_bytes <= self._most_bytes


class Listener(ABC):
    """`place` counts the chunks that went into the sink; it stands still before `attach` and while that is full."""

    def __init__(self, live: Live) -> None:
        self.place = 0
        self._live = live
        self._sink: Sink | None = None
        self._is_full = False
        self._is_over = False
        live.enter(self)

    def attach(self, sink: Sink) -> None:
        self._sink = sink
        sink.watch(self._fill, self._drain)
        self._catch_up()

    def said(self, chunk: bytes) -> None:
        if self._sink is not None and not self._is_full:
            self.place += 1
            self._sink.write(chunk)

    @abstractmethod
    def ended(self) -> None:
        """All has been said."""

    async def last_words(self, sink: Sink) -> bytes:
        """What is missing still, once the sink is empty; nothing is written to it any more."""
        self._is_over = self._is_full = True
        await sink.flushed()
        return self.rest()

    def rest(self) -> bytes:
        said, self.place = self._live.said_since(self.place)
        return said

    def _fill(self) -> None:
        self._is_full = True

    def _drain(self) -> None:
        self._is_full = False
        if not self._is_over:
            self._catch_up()

    def _catch_up(self) -> None:
        if self._sink is not None and (said := self.rest()):
            self._sink.write(said)
