"""Credit: a receiver says how many bytes may be under way, and gives back what it has dealt with.

Both ends start from the same fixed windows, so each can hold the other to them.
"""

from __future__ import annotations

from shareai_node.tunnel.errors import Code, ProtocolViolation

STREAM_WINDOW_BYTES = 256 * 1024
CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024


class SendWindow:
    """How many bytes may still be sent: `credit`."""

    __slots__ = ("credit", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.credit = most

    def gain(self, increment: int) -> None:
        """Raises ProtocolViolation: nobody can have dealt with more than was ever under way."""
        self.credit += increment
        if self.credit > self.most:
            raise ProtocolViolation(Code.FLOW_CONTROL_ERROR, f"credit beyond the window of {self.most} bytes")


class ReceiveWindow:
    """How many bytes may still come. What was dealt with is given back by halves of the window, not by drops."""

    __slots__ = ("_dealt_with", "_left", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._left = most
        self._dealt_with = 0

    def take(self, size: int) -> None:
        """Raises ProtocolViolation when more comes than was allowed."""
        self._left -= size
        if self._left < 0:
            raise ProtocolViolation(Code.FLOW_CONTROL_ERROR, f"more data than the window of {self.most} bytes")

    def give_back(self, size: int) -> int:
        """Notes that so many bytes were dealt with. Returns the increment to tell the other end now, or 0.

        Raises ValueError for more than came.
        """
        dealt_with = self._dealt_with + size
        if self._left + dealt_with > self.most:
            raise ValueError(f"{dealt_with} bytes dealt with, {self.most - self._left} came")
        if dealt_with * 2 < self.most:
            self._dealt_with = dealt_with
            return 0
        self._dealt_with = 0
        self._left += dealt_with
        return dealt_with
