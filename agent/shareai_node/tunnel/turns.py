"""Who may send next: streams with something queued take turns, one frame each."""

from __future__ import annotations

from collections import deque

from shareai_node.tunnel.stream import Stream
from shareai_node.tunnel.window import CONNECTION_WINDOW_BYTES, SendWindow

MAX_TURN_BYTES = 16 * 1024
"""On a slow line one frame must not keep the others waiting for long."""


class Turns:
    __slots__ = ("_waiting", "room")

    def __init__(self) -> None:
        self._waiting: deque[Stream] = deque()
        self.room = SendWindow(CONNECTION_WINDOW_BYTES)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, stream: Stream) -> None:
        if not stream.has_turn:
            stream.has_turn = True
            self._waiting.append(stream)

    def discard(self, stream: Stream) -> None:
        if stream.has_turn:
            stream.has_turn = False
            self._waiting.remove(stream)

    def clear(self) -> None:
        self._waiting.clear()

    def take(self) -> tuple[Stream, bytes] | None:
        """What the next stream sends, as far as the connection's credit goes."""
        stream = self._waiting[0]
        queue, credit = stream.queue, self.room.credit
        size = len(queue)
        if size > credit or size > MAX_TURN_BYTES:
            size = min(credit, MAX_TURN_BYTES)
            if size == 0:
                return None
            self._waiting.rotate(-1)
            data = bytes(queue[:size])
            del queue[:size]
        else:
            self._waiting.popleft()
            stream.has_turn = False
            data = bytes(queue)
            queue.clear()
        self.room.credit = credit - size
        return stream, data
