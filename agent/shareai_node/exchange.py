"""One stream of the tunnel as the relay sees it: a request to be read and an answer to be written, at both ends' pace."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping

from shareai_node.tunnel.errors import Code
from shareai_node.tunnel.session import Session


class Exchange:
    """
    Args:
        head: the request's, JSON as it came.
        wake: there may be messages to send.
    """

    def __init__(self, session: Session, stream: int, head: bytes, ended: bool, wake: Callable[[], None]) -> None:
        self.stream = stream
        self.head = head
        self._session = session
        self._wake = wake
        self._parts: deque[bytes] = deque()
        self._came_to_end = ended
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self.answered = False
        """Its answer has begun, or it was reset."""

        self.done = False

    # what the connection tells it

    def feed(self, data: bytes, ended: bool) -> None:
        if data:
            self._parts.append(data)
        self._came_to_end = ended
        self._arrived.set()

    def gained_room(self) -> None:
        self._room.set()

    # what the relay does

    async def read(self) -> bytes | None:
        """The next piece of the request's body; None at its end. The console may send more once it was read."""
        while not self._parts:
            if self._came_to_end:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        part = self._parts.popleft()
        self._session.consumed(self.stream, len(part))
        self._wake()
        return part

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Raises: StreamGone."""
        self.answered = True
        head = json.dumps({"status": status, "headers": dict(headers)}, separators=(",", ":")).encode()
        self._session.send_head(self.stream, head)
        self._wake()

    async def send(self, data: bytes) -> None:
        """Returns when the tunnel has taken it all, which is when whoever reads the answer keeps up.

        Raises: StreamGone.
        """
        view = memoryview(data)
        while view:
            room = self._session.room(self.stream)
            if room == 0:
                await self._more_room()
                continue
            self._session.send_data(self.stream, bytes(view[:room]))
            self._wake()
            view = view[room:]

    async def _more_room(self) -> None:
        self._room.clear()
        if self._session.room(self.stream) == 0:
            await self._room.wait()

    def finish(self) -> None:
        """Raises: StreamGone."""
        self._session.send_data(self.stream, b"", ended=True)
        self.done = True
        self._wake()

    def reset(self, code: Code, reason: str) -> None:
        self.answered = self.done = True
        self._session.reset(self.stream, code, reason)
        self._wake()
