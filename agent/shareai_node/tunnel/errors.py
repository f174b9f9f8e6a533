"""What can go wrong in a tunnel.

TunnelError
├── ProtocolViolation   the other end broke the protocol: the connection must be closed
├── StreamGone          the stream has ended, or never was
├── CreditExceeded      more data than `room` allowed: a fault of the caller
└── CannotOpen          no stream may be opened now: full, going away, or closed
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Why a stream was reset or a connection ends; the numbers below 32 are HTTP/2's."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    LOCAL_UNREACHABLE = 32
    LOCAL_TIMEOUT = 33
    NOT_ALLOWED = 34


class TunnelError(Exception):
    """The root of this package's errors."""


class ProtocolViolation(TunnelError):
    """The other end broke the protocol. The session is closed; a GOAWAY that says so waits to be taken."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(f"{code.name}: {reason}")
        self.code = code
        self.reason = reason


class StreamGone(TunnelError):
    """The stream is not open for what was asked."""


class CreditExceeded(TunnelError):
    """More data was given than the stream has room for."""


class CannotOpen(TunnelError):
    """No stream may be opened on this connection now; another connection may take the request."""
