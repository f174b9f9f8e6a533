"""uvicorn's HTTP protocol with two promises more: nobody holds a connection by sending or by reading too slowly.

uvicorn bounds the time between requests but not the head of one, so a caller who sends a byte a minute would hold
a connection for ever, and one who sends fast any amount of memory; a body that goes on after its answer is read for
as long as it lasts; and a whole answer lies in its write buffer until the caller has read it. Heads that arrive in
one piece and answers that fit the buffer, which is nearly all, cost a few assignments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import Any

from django.conf import settings
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from common.together import Together, of_running_loop
from routing.flights import WRITER, Headers

MOST_JOINED_BYTES = 64 * 1024
"""A larger body is not copied to lie beside its head."""

HEAD_DEADLINE_S = 10.0
MOST_HEAD_BYTES = 64 * 1024
"""Of a head that comes in several pieces; one that comes in one is the application's to judge."""

MOST_FIELDS = 1000
"""Of a head and, after a body in chunks, of its trailers."""

LAST_LOOK_S = 0.1
AFTER_STALL_S = 10.0
"""After a stream's own stall ended it, its caller gets this long to take the last words."""


class Writer:
    """For the data plane: what ASGI's `send` writes, without its messages, coroutines and questions.

    It writes only where uvicorn would have written the same at once; whoever gets False sends the long way.
    """

    __slots__ = ("_cycle", "_writes")

    def __init__(self, cycle: RequestResponseCycle, writes: Together) -> None:
        self._cycle = cycle
        self._writes = writes

    def chunks(self) -> Callable[[bytes], bool]:
        """What writes one chunk of a stream that has begun."""
        cycle = self._cycle
        flow, write = cycle.flow, cycle.transport.write

        def write_chunk(chunk: bytes) -> bool:
            if flow.write_paused or not cycle.chunked_encoding or cycle.disconnected or cycle.response_complete:
                return False
            write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            return True

        return write_chunk

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Writes a whole answer, of which `headers` tell the length, in one piece."""
        cycle = self._cycle
        if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or cycle.access_log:
            return False
        if cycle.scope["method"] == "HEAD":
            return False
        lines = [b": ".join(header) for header in chain(cycle.default_headers, headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close")
        said = b" ".join(lines)
        if 10 in said or 13 in said or 0 in said:
            return False  # a value of more than one line, which uvicorn refuses
        head = b"%b%b\r\n\r\n" % (STATUS_LINE[status], b"\r\n".join(lines))
        cycle.response_started = cycle.response_complete = True
        cycle.chunked_encoding = False
        if cycle.keep_alive and len(body) <= MOST_JOINED_BYTES:
            self._writes.write(cycle.transport, head + body)
        else:
            self._writes.flush()
            cycle.transport.write(head)
            cycle.transport.write(body)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True


_HEAD_TOO_LARGE = STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """For `uvicorn --http console.wire:PatientProtocol`."""

    head_deadline_s = HEAD_DEADLINE_S
    _head_is_open = False
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _unread_bytes = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        """uvicorn believes what requests of this machine say of their address; here TRUSTED_PROXY_COUNT decides."""
        super().__init__(*args, **options)
        if isinstance(self.app, ProxyHeadersMiddleware):
            self.app = self.app.app

    @property
    def stall_s(self) -> float:
        return float(settings.CLIENT_STALL_S) + AFTER_STALL_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._writes = of_running_loop()
        self.headers = []
        self._start_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._reads_on()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall is None:
            self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reads_on()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_is_open:
            self._head_grew(len(data))
        elif len(self.headers) > MOST_FIELDS and self.cycle is not None and self.cycle.more_body:
            self._close()

    def on_message_begin(self) -> None:
        self._head_is_open = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_is_open = False
        if self._deadline is not None:
            self._stop_waiting()
        super().on_headers_complete()
        if self.cycle is not None:
            self.scope["extensions"] = {WRITER: Writer(self.cycle, self._writes)}  # type: ignore[dict-item]

    def send_400_response(self, msg: str) -> None:
        self._writes.flush()
        super().send_400_response(msg)

    def shutdown(self) -> None:
        self._writes.flush()
        super().shutdown()

    def on_response_complete(self) -> None:
        """A caller may go on sending what nobody reads any more, for as long as a head may take and no longer."""
        super().on_response_complete()
        cycle = self.cycle
        if cycle.more_body and cycle.response_complete and not self.transport.is_closing():
            if cycle.waiting_for_100_continue:
                self._writes.flush()
                self.transport.close()  # whether a body or another request comes next, nobody knows
            elif self._deadline is None:
                self._start_waiting()

    def _head_grew(self, by_bytes: int) -> None:
        self._head_bytes += by_bytes
        if self._head_bytes > MOST_HEAD_BYTES and self.transport is not None:
            self._writes.flush()
            self.transport.write(_HEAD_TOO_LARGE)
            self._close()
        elif self._deadline is None:
            self._start_waiting()

    def _start_waiting(self) -> None:
        self._deadline = self.loop.call_later(self.head_deadline_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._head_bytes = 0

    def _give_up(self) -> None:
        """Not yet: when the process stood still, timers come before what lies there to be read since then."""
        self._deadline = self.loop.call_later(LAST_LOOK_S, self._close)

    def _close(self) -> None:
        self._stop_waiting()
        if self.transport is not None and not self.transport.is_closing():
            self._writes.flush()
            self.transport.close()

    def _reads_on(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _watch_reader(self) -> None:
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self.stall_s, self._give_up_reader)

    def _give_up_reader(self) -> None:
        """Unless some of it was read meanwhile: a large answer over a slow line takes its time."""
        self._stall = None
        if self.transport is None or self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() < self._unread_bytes:
            self._watch_reader()
        else:
            self.transport.abort()
