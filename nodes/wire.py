"""What the server end of the tunnel asks of the socket under it, and what it is told by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from shareai_node.tunnel.frames import MAX_FRAME_BYTES

EXTENSION = "shareai.takeover"
"""In an ASGI scope's extensions: a `Wire` that can be taken over after the handshake."""

VIOLATION, REPLACED, REVOKED, RESTART, DEAD = 1002, 4409, 4403, 1012, 1001
"""Codes with which a socket is closed."""

MAX_MESSAGE_BYTES = MAX_FRAME_BYTES


class Receiver(Protocol):
    def message(self, message: bytes) -> None:
        """A binary message. Must not raise."""

    def writable(self) -> None:
        """The socket takes bytes again."""

    def lost(self) -> None:
        """The connection is gone. Called once."""

    def server_stops(self) -> None:
        """The process is about to end; what is open may go on for as long as it is let."""


class Wire(Protocol):
    @property
    def is_writable(self) -> bool:
        """Whether the socket's buffer has room; writing is possible in any case."""

    def take_over(self, receiver: Receiver) -> bool:
        """From now on messages go to `receiver`. False if that cannot be."""

    def write(self, messages: Iterable[bytes]) -> None:
        """Sends binary messages at once."""

    def close(self, code: int, reason: str) -> None:
        """Idempotent."""
