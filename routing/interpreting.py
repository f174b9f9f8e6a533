"""A chat's stream heard by somebody who speaks another API: chunks come in as bytes, other events go out as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from common.errors import ShareAIError
from routing.replies import Reply, Source, StreamReply
from routing.sink import Sink


class Events(Protocol):
    """Follows one stream."""

    def feed(self, chunk: bytes) -> bytes:
        """What is to be said for these bytes of the chat."""


class Interpreter(Sink):
    """A sink in front of the caller's, which hears chunks and says events."""

    __slots__ = ("_events", "_sink")

    def __init__(self, sink: Sink, events: Events) -> None:
        self._sink = sink
        self._events = events

    def watch(self, on_full: Callable[[], None], on_room: Callable[[], None]) -> None:
        self._sink.watch(on_full, on_room)

    def write(self, chunk: bytes) -> None:
        if said := self._events.feed(chunk):
            self._sink.write(said)

    async def flushed(self) -> None:
        await self._sink.flushed()

    def drop(self) -> None:
        self._sink.drop()


class InterpretedSource(Source):
    """The source of a chat's stream, heard through an interpreter."""

    def __init__(self, chat: Source, events: Events) -> None:
        self._chat = chat
        self._events = events

    async def pour(self, sink: Sink) -> bytes:
        return self._events.feed(await self._chat.pour(Interpreter(sink, self._events)))

    def checkpoint(self) -> None:
        self._chat.checkpoint()

    def fell_silent(self) -> bool:
        return self._chat.fell_silent()

    def note_end(self, code: str) -> None:
        self._chat.note_end(code)

    def abort(self, error: ShareAIError, *, by_upstream: bool) -> bytes:
        return self._events.feed(self._chat.abort(error, by_upstream=by_upstream))

    def close(self) -> None:
        self._chat.close()


def request_id_of(reply: Reply | StreamReply) -> str:
    """Of the request that was served, which for an answer that is given again is not the one that asks now."""
    return dict(reply.headers)[b"x-request-id"].decode()


def is_stream(reply: Reply) -> bool:
    """One that was kept whole, and is told again in one piece."""
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in reply.headers)
