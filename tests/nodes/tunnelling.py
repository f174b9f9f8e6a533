"""The console's end of the tunnel on a real server, with keys that are known beforehand instead of rows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import uvicorn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from console.websocket import TakeoverProtocol
from nodes.consumers import UNKNOWN, Door, Hello, Refused
from nodes.elsewhere import Elsewhere
from nodes.fleet import Fleet, Presence
from nodes.link import Link
from nodes.links import Links
from nodes.relay import Relay
from nodes.transport import Nobody, TunnelTransport
from tests.fakes.node import FakeNode, unpadded

SECRET = "shared-by-all-processes"
MANY_PINGS = (bytes((0x89, 0xFD)) + bytes(4 + 125)) * 24_000
"""On the wire, from a client: the answers are 3 MB."""
CONFIG = {"paused": False, "max_concurrent": 4}


@dataclass(frozen=True)
class Guest:
    node: str
    generation: int
    config: Mapping[str, Any] = field(default_factory=lambda: CONFIG)


def narrow(*transports: asyncio.BaseTransport) -> None:
    """The kernel keeps little for these, as it does for far ends on slow lines."""
    for transport in transports:
        made: socket.socket = transport.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)


class Keys:
    """A gate that knows nodes by their keys."""

    def __init__(self) -> None:
        self.origin = ""
        self.keys: dict[str, Ed25519PrivateKey] = {}
        self.generation = 0

    def key(self, node: str) -> Ed25519PrivateKey:
        return self.keys.setdefault(node, Ed25519PrivateKey.generate())

    async def enter(self, hello: Hello, nonce: bytes) -> Guest:
        key = self.keys.get(hello.node)
        signed = f"shareai-node connect v1\n{hello.node}\n{self.origin}\n".encode() + nonce
        if key is None:
            raise Refused(UNKNOWN, "unknown")
        try:
            key.public_key().verify(unpadded(hello.signature), signed)
        except InvalidSignature:
            raise Refused(UNKNOWN, "a wrong signature") from None
        self.generation += 1
        return Guest(hello.node, self.generation)


class Console:
    """What a test holds of the server."""

    def __init__(self, port: int, hello_s: float = 10.0) -> None:
        self.gate = Keys()
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.connections: Collection[Any] = ()
        self.links = Links(self)
        self.door = Door(self.gate, self.links, hello_s)
        self.transport = TunnelTransport(self.links, Nobody())
        self.url = f"ws://127.0.0.1:{port}/nodes/v1/connect"
        self.gate.origin = f"http://127.0.0.1:{port}"

    def began(self, link: Link) -> None: ...

    def said(self, link: Link, settings: Mapping[str, Any]) -> None:
        self.told.append((link.node, settings))

    def ended(self, link: Link, *, is_last: bool) -> None: ...

    def node(self, name: str = "node_1", **options: Any) -> FakeNode:
        return FakeNode(self.url, name, self.gate.key(name), **options)

    def link(self, node: str = "node_1") -> Link:
        link = self.links.find(node)
        assert link is not None
        return link

    async def until_connected(self, node: str = "node_1") -> Link:
        async with asyncio.timeout(5):
            while self.links.find(node) is None:
                await asyncio.sleep(0.005)
        return self.link(node)


@asynccontextmanager
async def serving(hello_s: float = 10.0) -> AsyncIterator[Console]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        console = Console(listening.getsockname()[1], hello_s)
        config = uvicorn.Config(console.door, ws=TakeoverProtocol, log_level="error", lifespan="off")
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        console.connections = server.server_state.connections
        await server.startup(sockets=[listening])
        try:
            yield console
        finally:
            console.links.stop()
            await server.shutdown(sockets=[listening])


@asynccontextmanager
async def colleague_of(console: Console, *nodes: str) -> AsyncIterator[TunnelTransport]:
    """The transport of another process, which knows by their presence where these nodes are."""
    relay, fleet = Relay(console.links, SECRET), Fleet()
    await relay.start("127.0.0.1")
    for node in nodes:
        fleet.note(Presence(node, generation=1, relay=relay.address), monotonic())
    elsewhere = Elsewhere(fleet, SECRET)
    try:
        yield TunnelTransport(Links(console), elsewhere)
    finally:
        elsewhere.close()
        relay.stop()
