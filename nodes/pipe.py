"""A wire between processes of this console: frames over TCP, one after the other, for a frame tells its length."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import cast

from nodes.wire import DEAD, Receiver
from shareai_node.tunnel.frames import HEADER_BYTES

_LENGTH_AT = 7


class Pipe(asyncio.Protocol):
    """Messages go to the receiver of `take_over`, which is to be called before the loop turns."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._receiver: Receiver
        self._rest = b""
        self.is_writable = True

    # the wire

    def take_over(self, receiver: Receiver) -> bool:
        self._receiver = receiver
        return True

    def write(self, messages: Iterable[bytes]) -> None:
        self._transport.write(b"".join(messages))

    def close(self, code: int, reason: str) -> None:
        """What was written still goes out, unless the far end is dead."""
        if code == DEAD:
            self.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        made: socket.socket = transport.get_extra_info("socket")
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        start, size = 0, len(data)
        while size - start >= HEADER_BYTES and not self._transport.is_closing():
            length = data[start + _LENGTH_AT] << 8 | data[start + _LENGTH_AT + 1]
            end = start + HEADER_BYTES + length
            if end > size:
                break
            self._receiver.message(data[start:end])
            start = end
        self._rest = data[start:]

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        self._receiver.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.lost()
