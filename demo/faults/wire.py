"""HTTP/1.1 and server-sent events as bytes, and the steps a server plays."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
_REASONS = {status.value: status.phrase for status in HTTPStatus}
STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "transfer-encoding": "chunked",
}


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes to write, and what they mean to whoever keeps the log.

    Attributes:
        status: set on the step that carries the status line.
        tokens: completion tokens in these bytes.
        usage: the usage these bytes report, as a value, or as its text where it is false on purpose.
    """

    data: bytes
    status: int | None = None
    tokens: int = 0
    usage: Any = None


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Send nothing more, keep the connection until the client leaves."""


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection in order (FIN)."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection (RST)."""


Step = Send | Pause | Hang | Close | Reset


def head(status: int, headers: Mapping[str, str]) -> bytes:
    reason = _REASONS.get(status, "Overloaded")
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A complete response with a true length."""
    told = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    return head(status, told) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def sse(event: object) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"
