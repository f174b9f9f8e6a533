"""Which streams may still get late frames, because this end reset them and the other may not have heard of it."""

from __future__ import annotations

from collections import deque
from struct import Struct

from shareai_node.tunnel.errors import Code, ProtocolViolation

MANY_RESETS = 64
"""So many may wait to be forgotten before a PING is due for their sake alone."""

_PING = Struct(">Q")


class Resets:
    """Numbers the PINGs of this end. Frames keep their order, so the answer to one says what was heard before it."""

    __slots__ = ("_late", "_next", "_unanswered")

    def __init__(self) -> None:
        self._late: dict[int, int] = {}
        """By stream: the number of the first PING after its reset."""

        self._unanswered: deque[int] = deque()
        self._next = 1

    def __contains__(self, stream: int) -> bool:
        return stream in self._late

    def add(self, stream: int) -> bool:
        """Notes that a reset was sent. Returns whether a PING is due."""
        self._late[stream] = self._next
        return len(self._late) >= MANY_RESETS and not self._unanswered

    def discard(self, stream: int) -> None:
        """The other end has reset it as well, after which it sends nothing."""
        self._late.pop(stream, None)

    def ping(self) -> bytes:
        """The payload of the next PING."""
        self._unanswered.append(self._next)
        self._next += 1
        return _PING.pack(self._next - 1)

    def answered(self, payload: bytes) -> None:
        """Raises ProtocolViolation for an answer to nothing."""
        (number,) = _PING.unpack(payload)
        if not self._unanswered or self._unanswered[0] != number:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, "an answer to no PING")
        self._unanswered.popleft()
        for stream in [stream for stream, until in self._late.items() if until <= number]:
            del self._late[stream]
