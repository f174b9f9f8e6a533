"""uvicorn's WebSocket protocol, which an application may take over: from then on no task wakes per message.

ASGI hands each message to a task through a queue, and pauses and resumes the socket around it. That is well for a
handshake; for the chunks of a model's answer it costs more than all that is done with them. So an application that
finds this protocol in its scope's extensions shakes hands by ASGI, then takes the connection over: messages are
given to its receiver in the step of the loop that read them, and what it sends is written straight away.

A connection that was taken over carries whole binary messages of a bounded size, uncompressed. Anything else ends it.

Source: RFC 6455, sections 5.2 (framing), 5.5 (control frames), 7.4.1 (codes).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from struct import Struct
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import apply_mask  # type: ignore[attr-defined]  # the one in C where it was built
from websockets.server import ServerProtocol

from nodes.wire import EXTENSION, MAX_MESSAGE_BYTES, Receiver

CLOSE_S = 1.0
"""How long the other end's close is awaited after ours, so that it gets to read ours."""

LINGER_S = 11.0
"""What was said to whom this application is done with may take so long to be read: longer than uvicorn awaits the
other end's close."""

_BINARY, _CLOSE, _PING, _PONG = 0x82, 0x88, 0x89, 0x8A  # whole, without extensions
_MASKED, _LENGTH = 0x80, 0x7F
_MOST_CONTROL_BYTES = 125
_LEAST_FRAME_BYTES = 6
"""Two of header, four of mask."""

_TWO, _EIGHT, _CODE = Struct(">H"), Struct(">Q"), Struct(">H")
PROTOCOL_ERROR, TOO_BIG = 1002, 1009


class TakeoverProtocol(WebSocketsSansIOProtocol):
    """For `uvicorn --ws console.websocket:TakeoverProtocol`."""

    _receiver: Receiver | None = None
    _is_closing = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Whatever the command line says: compression lets a stranger send a thousandfold of what arrives.
        self.conn = ServerProtocol(max_size=MAX_MESSAGE_BYTES, logger=self.conn.logger)
        self.ping_interval = None
        self._rest = bytearray()
        self._needed = 0
        self.is_writable = True

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

    # What the application does

    def take_over(self, receiver: Receiver) -> bool:
        """False if the other end has said more by now than it was asked, or is gone."""
        if self.disconnected or self._is_closing or not self.queue.empty() or self.conn.reader.buffer:
            return False
        self._receiver = receiver
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        return True

    def write(self, messages: Iterable[bytes]) -> None:
        """Binary messages, at once."""
        if not self._is_closing:
            self.transport.write(b"".join([_framed(message) for message in messages]))

    def close(self, code: int, reason: str) -> None:
        """Says why, waits a moment for the other end to have read it, then lets go. Idempotent."""
        if self._is_closing or self.disconnected:
            return
        self._is_closing = True
        payload = _CODE.pack(code) + reason.encode()[:120]
        self.transport.write(bytes((_CLOSE, len(payload))) + payload)
        self.loop.call_later(CLOSE_S, self.transport.abort)

    # What the server does

    def handle_ping(self) -> None:
        """Whoever asks on and on and reads no answer gets none: they would all be kept here."""
        answer = self.conn.data_to_send()
        if self.is_writable:
            self.transport.write(b"".join(answer))

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """uvicorn closes, which waits for all to be read, for ever."""
        super().on_task_complete(task)
        if not self.disconnected:
            self.loop.call_later(LINGER_S, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._receiver is None:
            super().data_received(data)
            return
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        self._parse(self._receiver, data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_writable = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self.is_writable = True
        if self._receiver is not None:
            self._receiver.writable()

    def shutdown(self) -> None:
        if self._receiver is None:
            super().shutdown()
        else:
            self._receiver.server_stops()

    def _parse(self, receiver: Receiver, data: bytes) -> None:
        """All whole frames of `data`; what is left waits for more."""
        place, end, needed = 0, len(data), _LEAST_FRAME_BYTES
        while end - place >= _LEAST_FRAME_BYTES:
            kind, length, start = data[place], data[place + 1], place + _LEAST_FRAME_BYTES
            if not length & _MASKED:
                self.close(PROTOCOL_ERROR, "frames of a client are masked")
                return
            length &= _LENGTH
            if length > _MOST_CONTROL_BYTES:
                size = _TWO if length == 126 else _EIGHT
                start += size.size
                if end < start:
                    needed = start - place
                    break
                length = size.unpack_from(data, place + 2)[0]
                if length > MAX_MESSAGE_BYTES:
                    self.close(TOO_BIG, f"messages have at most {MAX_MESSAGE_BYTES} bytes")
                    return
            stop = start + length
            if stop > end:
                needed = stop - place
                break
            payload = apply_mask(data[start:stop], data[start - 4 : start])
            place = stop
            if kind == _BINARY and not self._is_closing:
                receiver.message(payload)
            else:
                self._control(kind, payload)
        self._rest += data[place:]
        self._needed = needed

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == _CLOSE:
            self.close(1000, "")
            self.transport.close()
        elif self._is_closing or kind == _PONG:
            return
        elif kind == _PING and len(payload) <= _MOST_CONTROL_BYTES:
            if self.is_writable:
                self.transport.write(bytes((_PONG, len(payload))) + payload)
        else:
            self.close(PROTOCOL_ERROR, "only whole binary messages are taken here")


def _framed(message: bytes) -> bytes:
    size = len(message)
    if size <= _MOST_CONTROL_BYTES:
        return bytes((_BINARY, size)) + message
    if size <= 0xFFFF:
        return b"\x82\x7e" + _TWO.pack(size) + message
    return b"\x82\x7f" + _EIGHT.pack(size) + message
