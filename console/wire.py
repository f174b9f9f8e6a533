"""uvicorn's HTTP protocol with one promise more: a request's head arrives within ten seconds, or not at all.

uvicorn bounds the time between requests but not the head of one, so a caller who sends a byte a minute would hold
a connection for ever. Heads that arrive in one piece, which is nearly all, cost two assignments.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_DEADLINE_S = 10.0


class PatientProtocol(HttpToolsProtocol):
    """For `uvicorn --http console.wire:PatientProtocol`."""

    head_deadline_s = HEAD_DEADLINE_S
    _head_is_open = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_is_open and self._deadline is None:
            self._start_waiting()

    def on_message_begin(self) -> None:
        self._head_is_open = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_is_open = False
        if self._deadline is not None:
            self._stop_waiting()
        super().on_headers_complete()

    def _start_waiting(self) -> None:
        self._deadline = self.loop.call_later(self.head_deadline_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
