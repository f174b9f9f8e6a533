"""The door for nodes: who comes in is challenged, proves itself, and is handed over to the tunnel.

    challenge ──▶            a fresh nonce, so that nothing can be replayed
            ◀── hello        the node's id, signed together with the nonce and the console that it believes to talk to
    welcome ──▶              then binary messages only: frames

A plain ASGI application, not a Channels consumer: see docs/adr/0011-tunnel-sockets-without-channels.md.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol

import msgspec
import orjson

from common.asgi import Receive, Scope, Send
from nodes.heartbeat import Heartbeat
from nodes.link import Link
from nodes.links import Links
from nodes.proofs import NONCE_BYTES
from nodes.wire import EXTENSION, Wire

PATH = "/nodes/v1/connect"
SUBPROTOCOL = "shareai.node.v1"
PROTOCOL = 1
HELLO_S = 10.0
MOST_HELLO_BYTES = 4096

BAD_HELLO, UNKNOWN, LATE, UNSUPPORTED = 4400, 4401, 4408, 4426

logger = logging.getLogger(__name__)


class Hello(msgspec.Struct, frozen=True):
    type: str
    node: Annotated[str, msgspec.Meta(max_length=60)]
    protocol: int
    version: Annotated[str, msgspec.Meta(max_length=40)]
    signature: Annotated[str, msgspec.Meta(max_length=100)]


class Refused(Exception):
    """The handshake ends here, with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Entry(Protocol):
    """What is known of a node that has proved itself and may come in."""

    @property
    def node(self) -> str: ...

    @property
    def generation(self) -> int: ...

    @property
    def config(self) -> Mapping[str, Any]: ...


class Gate(Protocol):
    """Who may come in."""

    origin: str
    """Of this console, as nodes sign it."""

    async def enter(self, hello: Hello, nonce: bytes) -> Entry:
        """Raises Refused."""


class Door:
    """The ASGI application behind `PATH`."""

    def __init__(self, gate: Gate, links: Links, hello_s: float = HELLO_S) -> None:
        self._gate = gate
        self._links = links
        self._hello_s = hello_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        wire: Wire | None = scope.get("extensions", {}).get(EXTENSION)
        if wire is None:
            logger.error("the server cannot carry tunnels: start it with --ws console.websocket:TakeoverProtocol")
        if wire is None or not _is_a_node(scope):
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        try:
            await self._let_in(wire, receive, send)
        except Refused as refused:
            await send({"type": "websocket.close", "code": refused.code, "reason": refused.reason})
            return
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async def _let_in(self, wire: Wire, receive: Receive, send: Send) -> None:
        nonce = secrets.token_bytes(NONCE_BYTES)
        await _say(send, self._challenge(nonce))
        hello = await self._hello(receive)
        entry = await self._gate.enter(hello, nonce)
        link = Link(entry.node, entry.generation, wire, self._links)
        if not wire.take_over(link):
            raise Refused(BAD_HELLO, "wait for the welcome")
        await _say(send, _welcome(entry, self._links.heartbeat))
        self._links.add(link)

    async def _hello(self, receive: Receive) -> Hello:
        try:
            async with asyncio.timeout(self._hello_s):
                message = await receive()
        except TimeoutError:
            raise Refused(LATE, "no hello in time") from None
        text = message.get("text")
        if message["type"] != "websocket.receive" or text is None or len(text) > MOST_HELLO_BYTES:
            raise Refused(BAD_HELLO, "no hello")
        try:
            hello = msgspec.json.decode(text, type=Hello)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise Refused(BAD_HELLO, "no hello of this protocol") from error
        if hello.type != "hello":
            raise Refused(BAD_HELLO, "no hello")
        if hello.protocol != PROTOCOL:
            raise Refused(UNSUPPORTED, f"this console speaks protocol {PROTOCOL}")
        return hello

    def _challenge(self, nonce: bytes) -> dict[str, Any]:
        return {
            "type": "challenge",
            "nonce": urlsafe_b64encode(nonce).rstrip(b"=").decode(),
            "console": self._gate.origin,
            "protocol": PROTOCOL,
            "time": datetime.now(UTC).isoformat(),
        }


def _welcome(entry: Entry, heartbeat: Heartbeat) -> dict[str, Any]:
    return {
        "type": "welcome",
        "generation": entry.generation,
        "heartbeat_s": heartbeat.every_s,
        "dead_after_s": heartbeat.dead_after_s,
        "config": entry.config,
    }


def _is_a_node(scope: Scope) -> bool:
    """No browser, which would send its origin and its cookies along with a page's wish."""
    names = {name for name, _ in scope["headers"]}
    return not names & {b"origin", b"cookie"} and SUBPROTOCOL in scope["subprotocols"]


async def _say(send: Send, message: dict[str, Any]) -> None:
    await send({"type": "websocket.send", "text": orjson.dumps(message).decode()})
