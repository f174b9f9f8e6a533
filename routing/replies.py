"""What goes back to the caller: a whole answer, or a stream. Both write to ASGI's `send` themselves.

A stream here costs a third of Django's `StreamingHttpResponse` per chunk, and it owns its end: `close` settles
the request exactly once, also when nobody ever asked for the first chunk.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from time import monotonic

from common.asgi import Send
from common.errors import ShareAIError
from common.together import of_running_loop
from routing.flights import IDLE, Flight, Headers, record_of_ended, refusal_of_ended
from routing.sink import Sink

LAST_WORDS_S = 5.0
"""For telling a caller why its stream was broken off."""

JSON_TYPE = (b"content-type", b"application/json")
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Reply:
    """A whole answer."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    async def send(self, send: Send, flight: Flight) -> None:
        headers = [*self.headers, (b"content-length", b"%d" % len(self.body))]
        if flight.writer is not None and flight.writer.answer(self.status, headers, self.body):
            return
        of_running_loop().flush()  # what is to be recorded first waits for the end of the turn
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    def close(self) -> None:
        """Nothing to let go of."""


class Source(ABC):
    """Where a stream's bytes come from."""

    @abstractmethod
    async def pour(self, sink: Sink) -> bytes:
        """Writes all but the last bytes into `sink` as they come, and returns the last when there are no more.

        Never raises for an upstream's failure: the last bytes then say what happened.
        """

    def checkpoint(self) -> None:
        """It has gone on for long: notes what it has used, for the case that the process dies."""
        return

    def fell_silent(self) -> bool:
        """Nothing has come for too long. False: then the stream has to be broken off."""
        return False

    @abstractmethod
    def note_end(self, code: str) -> None:
        """The stream is broken off before its end; `code` says why, for the record."""

    @abstractmethod
    def abort(self, error: ShareAIError, *, by_upstream: bool) -> bytes:
        """The bytes that end a stream which the gateway itself must break off: an explicit error event.

        Args:
            by_upstream: it is the upstream's doing.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends and settles, whatever happened. Idempotent."""


class StreamReply:
    __slots__ = ("headers", "source", "status")

    def __init__(self, status: int, headers: Headers, source: Source) -> None:
        self.status = status
        self.headers = headers
        self.source = source

    async def send(self, send: Send, flight: Flight) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        sink = Sink(send, flight)
        flight.source = self.source
        try:
            flight.waiting_since = monotonic()
            last = await self.source.pour(sink)
            flight.waiting_since, flight.sending_since = None, monotonic()
            await send({"type": "http.response.body", "body": last})
        except asyncio.CancelledError:
            sink.drop()
            self.source.note_end(record_of_ended(flight)[1])
            last = self.source.abort(refusal_of_ended(flight), by_upstream=flight.ended_by == IDLE)
            # Whoever does not read this either holds up nothing but its own connection, and that not for long.
            self.source.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await send({"type": "http.response.body", "body": last})

    def close(self) -> None:
        self.source.close()
