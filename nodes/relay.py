"""The relay: a private HTTP listener by which other processes of the console reach the nodes that this one holds.

    POST /<node>/v1/chat/completions      with the secret that all processes share
    ◀── the node's answer, streamed; or 502 and, in headers, the failure that the transport would have raised

Plain HTTP on a private network: it listens on loopback unless it is told otherwise. HTTP gives what a message bus
does not: back-pressure, and cancellation by closing.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from typing import cast

import httptools

from nodes.answer import Answer
from nodes.links import Links
from providers.failures import Kind, UpstreamFailure
from shareai_node.tunnel.session import MAX_STREAMS

SECRET, GUEST, SLOTS, WAITS_MS = "x-relay-secret", "x-relay-guest", "x-relay-slots", "x-relay-waits-ms"
FAILURE, DETAIL = "x-relay-failure", "x-relay-detail"
_OURS = "x-relay-"
_OF_ONE_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "content-encoding", "te"}

_AS_SENT = "utf-8", "surrogateescape"

MOST_BODY_BYTES = 40 << 20
MOST_HEAD_BYTES = 96 << 10


class Relay:
    """Serves what `links` hold. `address` is what other processes need to know."""

    def __init__(self, links: Links, secret: str) -> None:
        self._links = links
        self._secret = secret.encode()
        self._server: asyncio.Server | None = None
        self._callers: set[Caller] = set()
        self.address = ""

    async def start(self, host: str, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Caller(self), host, port)
        bound = self._server.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        self.address = f"{shown}:{bound[1]}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for caller in list(self._callers):
            caller.abort()

    def began(self, caller: Caller) -> None:
        self._callers.add(caller)

    def ended(self, caller: Caller) -> None:
        self._callers.discard(caller)

    async def ask(self, node: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises UpstreamFailure."""
        if not hmac.compare_digest(headers.get(SECRET, "").encode(*_AS_SENT), self._secret):
            raise UpstreamFailure(Kind.REFUSED_EGRESS, "no process of this console")
        link = self._links.find(node)
        if link is None or link.is_leaving:
            raise UpstreamFailure(Kind.CONNECT, "the machine is not connected")
        onward = tuple(
            (name, value) for name, value in headers.items() if name not in _OF_ONE_HOP and not name.startswith(_OURS)
        )
        slots, waits_ms = _number(headers.get(SLOTS)), _number(headers.get(WAITS_MS))
        return await link.ask(
            path,
            onward,
            body,
            guest=headers.get(GUEST) == "1",
            slots=slots or MAX_STREAMS,
            waits_s=waits_ms / 1000 if waits_ms else None,
        )


class Caller(asyncio.Protocol):
    """A connection of another process. One request at a time; a slow reader holds up its stream only."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._asking: asyncio.Task[None] | None = None
        self._answer: Answer | None = None
        self._out: list[bytes] = []

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._relay.began(self)

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MOST_BODY_BYTES or (self._url == b"" and self._size > MOST_HEAD_BYTES):
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.ended(self)
        if self._asking is not None:
            self._asking.cancel()
        if self._answer is not None:
            self._answer.close()

    def pause_writing(self) -> None:
        if self._answer is not None:
            self._answer.pause()

    def resume_writing(self) -> None:
        if self._answer is not None:
            self._answer.resume()

    def abort(self) -> None:
        self._transport.abort()

    # the parser's callbacks

    def on_message_begin(self) -> None:
        if self._asking is not None:
            self.abort()  # nobody of ours sends a second request before the first is answered
        self._url, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode(*_AS_SENT)

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        self._size = 0
        if not self._transport.is_closing():
            self._asking = asyncio.get_running_loop().create_task(self._serve())

    # a request

    async def _serve(self) -> None:
        node, _, path = self._url.decode("latin-1").removeprefix("/").partition("/")
        try:
            answer = await self._relay.ask(node, f"/{path}", self._headers, b"".join(self._body))
        except UpstreamFailure as failure:
            self._asking = None
            self._transport.write(_refusal(failure))
            return
        self._body = []
        self._answer = answer
        self._out.append(_head(answer))
        answer.follow(self)
        self._flush()

    # the answer's follower

    def data(self, chunk: bytes) -> None:
        self._out.append(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if not self._begins():
            self._flush()

    def ended(self, failure: UpstreamFailure | None) -> None:
        answer, self._answer, self._asking = self._answer, None, None
        if answer is not None:
            answer.close()
        if failure is not None:
            self.abort()
            return
        self._out.append(b"0\r\n\r\n")
        self._flush()

    def _begins(self) -> bool:
        """While the answer is taken over, all that it holds goes out in one piece."""
        return self._asking is asyncio.current_task() is not None

    def _flush(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self._transport.write(b"".join(out))


def _number(said: str | None) -> int | None:
    return int(said) if said is not None and said.isdecimal() else None


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} relayed"]
    for name, value in answer.headers.items():
        if name not in _OF_ONE_HOP and not name.startswith(_OURS) and _is_fit(name) and _is_fit(value):
            lines.append(f"{name}: {value}")
    lines.append("transfer-encoding: chunked\r\n\r\n")
    return "\r\n".join(lines).encode("utf-8", "replace")


def _refusal(failure: UpstreamFailure) -> bytes:
    detail = failure.detail if _is_fit(failure.detail) else ""
    return (
        f"HTTP/1.1 502 relayed\r\n{FAILURE}: {failure.kind.value}\r\n{DETAIL}: {detail}\r\ncontent-length: 0\r\n\r\n"
    ).encode("utf-8", "replace")


def _is_fit(text: str) -> bool:
    return text.isprintable() and text.isascii()
