"""What an end of a tunnel has to say, on its way to the socket."""

from __future__ import annotations

import asyncio

from nodes.wire import Wire
from shareai_node.tunnel.session import Session

_MOST_AT_ONCE_BYTES = 64 * 1024
"""After so many the socket is asked again whether it takes more."""


class Outbox:
    __slots__ = ("_is_called", "_session", "_wire")

    def __init__(self, session: Session, wire: Wire) -> None:
        self._session = session
        self._wire = wire
        self._is_called = False

    def send_soon(self) -> None:
        """All that this turn of the loop has to say goes out in one piece: writing costs more than saying."""
        if not self._is_called and self._session.has_news:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self.send)

    def send(self) -> None:
        """Writes what there is to say, as far as the socket takes it."""
        self._is_called = False
        take, wire = self._session.take, self._wire
        while wire.is_writable and (message := take()) is not None:
            messages, size = [message], len(message)
            while size < _MOST_AT_ONCE_BYTES and (message := take()) is not None:
                messages.append(message)
                size += len(message)
            wire.write(messages)

    def send_last_words(self) -> None:
        """Of a session that has ended by a violation, whether the socket takes more or not."""
        if (last := self._session.take()) is not None:
            self._wire.write([last])
