"""The relay: a private listener by which other processes of the console reach the nodes that this one holds.

    another process ──▶ Caller: SETTINGS with the secret that all processes share
                        HEADERS `Errand`, DATA ──▶ Exchange ──▶ the node's link
                   ◀── HEADERS, DATA as the node sends them; or, in the head, the failure that the transport would
                        have raised

The frames are the tunnel's, over TCP, on a private network: it listens on loopback unless it is told otherwise. Many
requests share a connection, and what happens to all of them in one turn of the loop goes out in one piece. Credit
gives what a message bus does not, back-pressure; a reset cancels.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping

import msgspec

from nodes.answer import Answer, NodeHeaders
from nodes.links import Links
from nodes.outbox import Outbox
from nodes.pipe import Pipe
from providers.failures import Kind, UpstreamFailure
from shareai_node.tunnel.errors import Code, ProtocolViolation
from shareai_node.tunnel.events import DataReceived, Event, HeadReceived, ResetReceived, RoomGained, SettingsReceived
from shareai_node.tunnel.session import Role, Session

FAILURE, DETAIL = "x-relay-failure", "x-relay-detail"
_OURS = "x-relay-"
_OF_ONE_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "content-encoding", "te"}
"""What is packed on the way to this process is unpacked here."""

MOST_BODY_BYTES = 40 << 20
WELCOME_S = 10.0
"""Whoever has not told the secret by then is no process of this console."""


class Greeting(msgspec.Struct, frozen=True):
    secret: str


class Errand(msgspec.Struct, frozen=True):
    """The head of a request that is passed on: `request` is the head for the node, the rest as in `Link.ask`."""

    node: str
    request: msgspec.Raw
    slots: int
    waits_ms: int
    guest: bool = False


_greeting = msgspec.json.Decoder(Greeting).decode
_errand = msgspec.json.Decoder(Errand).decode
_encode = msgspec.json.Encoder().encode


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
        self._server = await loop.create_server(self._pipe, host, port)
        bound = self._server.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        self.address = f"{shown}:{bound[1]}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for caller in list(self._callers):
            caller.abort()

    def ended(self, caller: Caller) -> None:
        self._callers.discard(caller)

    def knows(self, secret: str) -> bool:
        return hmac.compare_digest(secret.encode("utf-8", "replace"), self._secret)

    async def ask(self, errand: Errand, body: bytes) -> Answer:
        """Raises UpstreamFailure."""
        link = self._links.find(errand.node)
        if link is None or link.is_leaving:
            raise UpstreamFailure(Kind.CONNECT, "the machine is not connected")
        request, waits_s = bytes(errand.request), errand.waits_ms / 1000
        return await link.ask(request, body, guest=errand.guest, slots=errand.slots, waits_s=waits_s)

    def _pipe(self) -> Pipe:
        pipe = Pipe()
        caller = Caller(self, pipe)
        pipe.take_over(caller)
        self._callers.add(caller)
        return pipe


class Caller:
    """A connection of another process."""

    def __init__(self, relay: Relay, pipe: Pipe) -> None:
        self.relay = relay
        self.session = Session(Role.NODE)
        self.out = Outbox(self.session, pipe)
        self._pipe = pipe
        self._exchanges: dict[int, Exchange] = {}
        self._is_welcome = False
        self._patience = asyncio.get_running_loop().call_later(WELCOME_S, self.abort)

    def abort(self) -> None:
        self._pipe.abort()

    def done(self, exchange: Exchange) -> None:
        self._exchanges.pop(exchange.stream, None)

    # the receiver of the pipe

    def message(self, message: bytes) -> None:
        try:
            event = self.session.receive(message)
        except ProtocolViolation:
            self.abort()
            return
        if event is not None:
            self._react(event)
        self.out.send_soon()

    def writable(self) -> None:
        self.out.send()

    def lost(self) -> None:
        self._patience.cancel()
        self.session.close()
        self.relay.ended(self)
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in exchanges.values():
            exchange.drop()

    def server_stops(self) -> None:
        """What is open goes on: `Relay.stop` ends it."""

    # how

    def _react(self, event: Event) -> None:
        if not self._is_welcome:
            self._welcome(event)
        elif isinstance(event, DataReceived):
            if (exchange := self._exchanges.get(event.stream)) is not None:
                exchange.feed(event.data, event.ended)
        elif isinstance(event, HeadReceived):
            self._begin(event)
        elif isinstance(event, RoomGained):
            if (exchange := self._exchanges.get(event.stream)) is not None:
                exchange.gained_room()
        elif isinstance(event, ResetReceived) and (exchange := self._exchanges.pop(event.stream, None)) is not None:
            exchange.drop()

    def _welcome(self, event: Event) -> None:
        try:
            greeting = _greeting(event.payload if isinstance(event, SettingsReceived) else b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            greeting = Greeting("")
        self._is_welcome = self.relay.knows(greeting.secret)
        self._patience.cancel()
        if not self._is_welcome:
            self.abort()

    def _begin(self, event: HeadReceived) -> None:
        try:
            errand = _errand(event.payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.abort()  # it speaks another language, such as a newer version of this
            return
        exchange = self._exchanges[event.stream] = Exchange(self, event.stream, errand)
        if event.ended:
            exchange.feed(b"", ended=True)


class Exchange:
    """One request and the answer to it, which it follows. A slow reader holds up its own stream only."""

    __slots__ = ("_answer", "_asking", "_body", "_caller", "_errand", "_has_ended", "_left", "_size", "stream")

    def __init__(self, caller: Caller, stream: int, errand: Errand) -> None:
        self.stream = stream
        self._caller = caller
        self._errand = errand
        self._body: list[bytes] = []
        self._size = 0
        self._asking: asyncio.Task[None] | None = None
        self._answer: Answer | None = None
        self._left = b""
        """What the stream had no room for."""

        self._has_ended = False

    def feed(self, data: bytes, ended: bool) -> None:
        """The request's body."""
        self._size += len(data)
        if self._size > MOST_BODY_BYTES:
            self._refuse(UpstreamFailure(Kind.TOO_LARGE, "more than a machine is asked"))
            self._caller.session.reset(self.stream, Code.REFUSED_STREAM)
            return
        self._caller.session.consumed(self.stream, len(data))
        self._body.append(data)
        if ended:
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    def gained_room(self) -> None:
        if not self._left:
            return
        left, self._left = self._left, b""
        self._send(left)
        if self._left:
            return
        if self._has_ended:
            self._end()
        elif self._answer is not None:
            self._answer.resume()

    def drop(self) -> None:
        """Nobody wants the answer."""
        if self._asking is not None:
            self._asking.cancel()
        if self._answer is not None:
            self._answer.close()

    async def _ask(self) -> None:
        body, self._body = self._body, []
        try:
            answer = await self._caller.relay.ask(self._errand, body[0] if len(body) == 1 else b"".join(body))
        except UpstreamFailure as failure:
            self._refuse(failure)
            return
        finally:
            self._asking = None
        self._answer = answer
        try:
            self._say(answer.status, _passed_on(answer.headers))
        except ValueError:
            self.ended(UpstreamFailure(Kind.MALFORMED, "a head too large to be passed on"))
            return
        answer.follow(self)
        self._caller.out.send_soon()

    # the answer's follower

    def data(self, chunk: bytes) -> None:
        self._send(chunk)
        if self._left and self._answer is not None:
            self._answer.pause()
        self._caller.out.send_soon()

    def ended(self, failure: UpstreamFailure | None) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()
        if failure is not None:
            self._caller.session.reset(self.stream, Code.INTERNAL_ERROR, failure.kind)
            self._caller.done(self)
        elif self._left:
            self._has_ended = True
        else:
            self._end()
        self._caller.out.send_soon()

    # how

    def _send(self, data: bytes) -> None:
        """As much as there is room for."""
        if self._left:
            self._left += data
            return
        room = self._caller.session.room(self.stream)
        if len(data) > room:
            data, self._left = data[:room], data[room:]
        if data:
            self._caller.session.send_data(self.stream, data)

    def _end(self) -> None:
        self._caller.session.send_data(self.stream, b"", ended=True)
        self._caller.done(self)

    def _refuse(self, failure: UpstreamFailure) -> None:
        self._say(502, {FAILURE: failure.kind.value, DETAIL: failure.detail}, ended=True)
        self._caller.done(self)
        self._caller.out.send_soon()

    def _say(self, status: int, headers: dict[str, str], *, ended: bool = False) -> None:
        head = _encode({"status": status, "headers": headers})
        self._caller.session.send_head(self.stream, head, ended=ended)


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    given = headers.given if isinstance(headers, NodeHeaders) else headers
    return {
        name: value
        for name, value in given.items()
        if (known := name.lower()) not in _OF_ONE_HOP and not known.startswith(_OURS)
    }
