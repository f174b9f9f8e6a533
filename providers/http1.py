"""HTTP/1.1 towards an upstream: one connection, one exchange at a time, bytes handed on in the step that read them.

    Connection ── parses (llhttp) ──▶ Exchange, which is the response that the transport gives out

Written for the data plane, where a task that wakes per chunk costs more than the chunk. The parser is the one that
serves this side, too. What an upstream sends outside an exchange spoils its connection.

Source: RFC 9112, sections 6.3 (how long a body is) and 9.3 (which connections persist).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import httptools

from common.together import of_running_loop
from providers.failures import Kind, UpstreamFailure
from providers.inflation import Inflater, inflater
from providers.inflow import Inflow
from providers.transport import Follower

MOST_BYTES_WITHOUT_BODY = 64 * 1024
"""Of a head, of trailers, of the framing between two pieces of a body."""

LINGER_S = 0.2
"""How long the end of an answer is awaited after all that matters was said, to keep its connection."""


class Origin(NamedTuple):
    tls: bool
    host: str
    port: int


class RawHeaders(Mapping[str, str]):
    """As they came; few are ever asked for, so nothing is decoded before. Names are found in any case."""

    __slots__ = ("_raw",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode()
        for header, value in self._raw:
            if header.lower() == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({header.decode("latin-1").lower() for header, _ in self._raw})

    def __len__(self) -> int:
        return len({header.lower() for header, _ in self._raw})


class Exchange(Inflow):
    """One request on a connection, and what comes back."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._head: asyncio.Future[None] | None = None
        self._inflater: Inflater | None = None
        self.status = 0
        self.deliver: Callable[[bytes], None] | None = None
        """Who takes the next bytes of the body, instead of `body`."""
        self.touched = False
        """Whether the upstream has said anything yet."""

    async def wait_for_head(self) -> None:
        """Raises: UpstreamFailure: no valid head came."""
        if not self.status and not self.is_over:
            self._head = self._connection.loop.create_future()
            await self._head
        if not self.status:
            await self.next_chunk()

    def head(self, status: int, raw_headers: list[tuple[bytes, bytes]]) -> None:
        self.headers = RawHeaders(raw_headers)
        for name, value in raw_headers:
            if len(name) == 16 and name.lower() == b"content-encoding":
                self._inflater = inflater(value.decode("latin-1").strip().lower())
        self.status = status
        if self._head is not None and not self._head.done():
            self._head.set_result(None)

    def body(self, data: bytes) -> None:
        if self._inflater is not None and not self.is_over:
            try:
                data = self._inflater.feed(data)
            except UpstreamFailure as failure:
                self.end(failure)
                self._connection.abandon(self)
        if data:
            self.receive(data)

    def end(self, failure: UpstreamFailure | None = None) -> None:
        super().end(failure)
        if self._head is not None and not self._head.done():
            self._head.set_result(None)

    def follow(self, follower: Follower) -> None:
        super().follow(follower)
        if self._inflater is None:
            self.deliver = follower.data  # two calls fewer for each chunk of each stream

    def detach(self) -> None:
        super().detach()
        self.deliver = None

    def finish(self) -> None:
        self.detach()
        self._connection.linger(self)

    def close(self) -> None:
        self.detach()
        self._connection.abandon(self)

    def _hold_back(self) -> None:
        self._connection.hold_back(self)

    def _let_flow(self) -> None:
        self._connection.let_flow(self)


class Connection(asyncio.Protocol):
    """Args: on_idle: told when an exchange has ended and the connection may carry another."""

    def __init__(self, origin: Origin, on_idle: Callable[[Connection], None]) -> None:
        self.origin = origin
        self.idle_since = 0.0
        self._on_idle = on_idle
        self._transport: asyncio.Transport
        self.loop = asyncio.get_running_loop()
        self._writes = of_running_loop()
        self._readable = select.poll()
        self._exchange: Exchange | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._bytes_without_body = 0
        self._is_interim = False
        self._is_complete = False
        self._persists = False
        self._is_spoilt = False
        self._is_asked = False

    def begin(self, head: bytes, body: bytes) -> Exchange:
        exchange = self._exchange = Exchange(self)
        self._headers, self._bytes_without_body, self._is_complete = [], 0, False
        self._is_asked = False
        self._writes.write(self, head + body)
        return exchange

    def write(self, data: bytes) -> None:
        """At the end of the turn. What an upstream has sent meanwhile, unasked, is not the answer to this: whoever
        began the exchange hears of a lost connection that said nothing, and takes a fresh one."""
        if self.idle_since and self._readable.poll(0):
            self.abort()
        else:
            self._is_asked = True
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str) -> Any:
        return self._transport.get_extra_info(name)

    def is_clean(self) -> bool:
        """Nothing was received since the last answer, as far as the loop has read; `write` asks the kernel as well.

        What an upstream sends beyond its answer would be read as the answer to the next request, which may be
        another organisation's.
        """
        return not self._is_spoilt and not self._transport.is_closing()

    def abandon(self, exchange: Exchange) -> None:
        """Ends the connection if it still carries `exchange`: HTTP/1.1 knows no other way to say stop."""
        if self._exchange is exchange:
            self._exchange = None
            self.abort()

    def linger(self, exchange: Exchange) -> None:
        if self._exchange is exchange:
            self.let_flow(exchange)
            self.loop.call_later(LINGER_S, self.abandon, exchange)

    def hold_back(self, exchange: Exchange) -> None:
        if self._exchange is exchange and not self._transport.is_closing():
            self._transport.pause_reading()

    def let_flow(self, exchange: Exchange) -> None:
        if self._exchange is exchange and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    def abort(self) -> None:
        self._is_spoilt = True
        self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its bases
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None or not self._is_asked:
            self.abort()
            return
        exchange.touched = True
        failure = None
        self._bytes_without_body += len(data)
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            failure = self._failure_of(error)
        if parts := self._parts:
            chunk = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            self._bytes_without_body = 0
            (exchange.deliver or exchange.body)(chunk)
        if failure is not None:
            self._fail(failure)
        elif self._is_complete:
            self._completed(exchange)
        elif self._bytes_without_body > MOST_BYTES_WITHOUT_BODY:
            self._fail(UpstreamFailure(Kind.MALFORMED, f"more than {MOST_BYTES_WITHOUT_BODY} bytes around a body"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_spoilt = True
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exc is None and exchange.status and self._ends_with_connection():
            exchange.end()
        else:
            exchange.end(UpstreamFailure(Kind.RESET, "the connection was lost"))

    def _failure_of(self, error: Exception) -> UpstreamFailure | None:
        """None when the answer was whole before the parser met what it could not read."""
        self._is_spoilt = True
        if self._is_complete:
            return None
        if isinstance(error.__context__, UpstreamFailure):  # raised in a callback, by ourselves
            return error.__context__
        return UpstreamFailure(Kind.MALFORMED, "no valid HTTP answer")

    def _fail(self, failure: UpstreamFailure) -> None:
        exchange, self._exchange = self._exchange, None
        self.abort()
        if exchange is not None:
            exchange.end(failure)

    def _completed(self, exchange: Exchange) -> None:
        if self._exchange is not exchange:
            return  # abandoned by whoever took its last bytes
        self._exchange = None
        if self._is_spoilt or not self._persists:
            self.abort()
        else:
            if not self._transport.is_reading():
                self._transport.resume_reading()  # else nobody would see the upstream close it
            self._on_idle(self)
        exchange.end()

    def _ends_with_connection(self) -> bool:
        names = {name.lower() for name, _ in self._headers}
        return not names & {b"content-length", b"transfer-encoding"}

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self._is_complete:
            self._is_spoilt = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        exchange, status = self._exchange, self._parser.get_status_code()
        if exchange is None or self._is_complete:
            return
        self._is_interim = status < 200
        if self._is_interim:
            self._headers = []
        elif not exchange.status:
            exchange.head(status, self._headers)

    def on_body(self, data: bytes) -> None:
        if not self._is_complete:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        if not self._is_interim:
            self._is_complete = True
            self._persists = self._parser.should_keep_alive()
