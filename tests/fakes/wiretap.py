"""A client that reads bare bytes, to see what a well-behaved client hides."""

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.fakes.upstream import KEY, FaultUpstream
from tests.fakes.wirelog import End, WireLog, settled

_PATIENCE_S = 0.02
_MOST_WAITS = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back on one connection.

    Attributes:
        raw: all bytes, status line and chunk sizes too.
        end: `eof`, `reset`, or `open` when nothing more is coming.
    """

    raw: bytes
    end: str

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def rest(self) -> bytes:
        """What follows the head, as it came."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        """The body without its chunk sizes, as far as it came."""
        return b"".join(self.chunks) if "transfer-encoding" in self.headers else self.rest

    @property
    def chunks(self) -> list[bytes]:
        found, rest = [], self.rest
        while rest:
            size, _, after = rest.partition(b"\r\n")
            length = int(size, 16)
            if not length:
                break
            found.append(after[:length])
            rest = after[length + 2 :]
        return found

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def request_bytes(model: str, *, stream: bool, key: str = KEY, keep: bool = False, **fields: object) -> bytes:
    """A chat request; `keep` asks for the connection to stay open after the answer."""
    asked = {"model": model, "messages": [{"role": "user", "content": "hello there"}], "stream": stream}
    if stream:
        asked["stream_options"] = {"include_usage": True}
    body = orjson.dumps(asked | fields)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: upstream\r\nauthorization: Bearer {key}\r\n"
    head += "" if keep else "connection: close\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def connect(base_url: str) -> socket.socket:
    address = urlsplit(base_url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=5)


def read_all(line: socket.socket, log: WireLog, most_bytes: int = 64 << 20) -> Seen:
    """Read until the connection ends, until all that the log says was sent is here, or until it is too much.

    Raises:
        TimeoutError: none of that happens.
    """
    raw = bytearray()
    line.settimeout(_PATIENCE_S)
    for _ in range(_MOST_WAITS):
        try:
            while len(raw) < most_bytes and (data := line.recv(1 << 16)):
                raw += data
        except TimeoutError:
            if not _at_rest(log, len(raw)):
                continue
            return Seen(bytes(raw), "open")
        except ConnectionError:
            return Seen(bytes(raw), "reset")
        return Seen(bytes(raw), "eof" if len(raw) < most_bytes else "open")
    raise TimeoutError(f"neither an end nor rest after {len(raw)} bytes")


def _at_rest(log: WireLog, received_bytes: int) -> bool:
    if not len(log) or received_bytes < log.last.sent_bytes:
        return False
    kept = log.last.end is End.COMPLETED and log.last.headers.get("connection") != "close"
    return kept or log.last.hanging


def tap(upstream: FaultUpstream, model: str, *, stream: bool, most_bytes: int = 64 << 20) -> Seen:
    """One chat request over a connection of its own, until the log has its end."""
    with connect(upstream.base_url) as line:
        line.sendall(request_bytes(model, stream=stream))
        seen = read_all(line, upstream.log, most_bytes)
    upstream.log.wait_until(settled)
    return seen


def events(body: bytes) -> list[bytes]:
    """The data of a stream in the usual form."""
    return [part.removeprefix(b"data: ") for part in body.split(b"\n\n") if part]


def text_of(body: bytes) -> str:
    """The words of such a stream, as far as they came."""
    chunks = [orjson.loads(event) for event in events(body) if event != b"[DONE]"]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices"))
