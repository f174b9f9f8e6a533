"""The other end of a tunnel, for tests of the console's end: over a real WebSocket, honest or as hostile as told.

    async with FakeNode(url, "node_1", key) as node:      # shakes hands
        node.serve("http://127.0.0.1:1234")               # requests go to a real server from now on
        await node.say(frame)                             # any bytes at all
        await node.closed()                               # the code with which the console ended it

It has no bounds and no manners of its own: the real agent is proven elsewhere.
"""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Self

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from shareai_node.tunnel.errors import Code, StreamGone
from shareai_node.tunnel.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    HeadReceived,
    ResetReceived,
    RoomGained,
    SettingsReceived,
)
from shareai_node.tunnel.session import Role, Session

SUBPROTOCOL = Subprotocol("shareai.node.v1")
NEVER_PASSED_ON = {"connection", "transfer-encoding", "keep-alive", "content-length"}

Handler = Callable[["Exchange"], Awaitable[None]]


def origin_of(url: str) -> str:
    return url.replace("ws", "http", 1).partition("/nodes/")[0]


def signature(key: Ed25519PrivateKey, node: str, origin: str, nonce: bytes) -> str:
    signed = b"shareai-node connect v1\n" + node.encode() + b"\n" + origin.encode() + b"\n" + nonce
    return urlsafe_b64encode(key.sign(signed)).rstrip(b"=").decode()


def unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Exchange:
    """One stream, as the handler of requests sees it."""

    def __init__(self, node: FakeNode, stream: int, head: bytes) -> None:
        self.node = node
        self.stream = stream
        self.head = json.loads(head)
        self.body = bytearray()
        self.whole = asyncio.Event()
        self.room = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def request(self) -> bytes:
        await self.whole.wait()
        return bytes(self.body)

    async def begin(self, status: int = 200, headers: dict[str, str] | None = None) -> None:
        head = json.dumps({"status": status, "headers": headers or {}}).encode()
        self.node.session.send_head(self.stream, head)
        await self.node.flush()

    async def send(self, data: bytes, *, ended: bool = False) -> None:
        session = self.node.session
        while len(data) > (room := session.room(self.stream)):
            if room:
                session.send_data(self.stream, data[:room])
                data = data[room:]
                await self.node.flush()
            else:
                self.room.clear()
                await self.room.wait()
        session.send_data(self.stream, data, ended=ended)
        await self.node.flush()

    async def reset(self, code: Code, reason: str = "") -> None:
        self.node.session.reset(self.stream, code, reason)
        await self.node.flush()


class FakeNode:
    """Args: origin: of the console, as this node believes it to be."""

    def __init__(self, url: str, node: str, key: Ed25519PrivateKey, *, origin: str | None = None) -> None:
        self.url, self.node, self.key = url, node, key
        self.origin = origin or origin_of(url)
        self.session = Session(Role.NODE)
        self.challenge: dict[str, Any] = {}
        self.welcome: dict[str, Any] = {}
        self.settings: deque[dict[str, Any]] = deque()
        self.away: GoAwayReceived | None = None
        self.exchanges: dict[int, Exchange] = {}
        self.seen: list[Exchange] = []
        self.socket: ClientConnection
        self.told = asyncio.Event()
        self._handler: Handler = refuse
        self._reader: asyncio.Task[None] | None = None
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=5), limits=httpx.Limits(max_connections=None)
        )

    async def __aenter__(self) -> Self:
        await self.dial()
        await self.greet()
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.cancel()
        for exchange in list(self.exchanges.values()):
            if exchange.task is not None:
                exchange.task.cancel()
        await self.socket.close()
        await self._http.aclose()

    async def dial(self, **options: Any) -> None:
        options = {"subprotocols": [SUBPROTOCOL], "compression": None, "ping_interval": None, **options}
        self.socket = await connect(self.url, max_size=1 << 17, close_timeout=1, **options)
        self.challenge = json.loads(await self.socket.recv())

    async def greet(self, **changes: Any) -> None:
        nonce = unpadded(self.challenge["nonce"])
        hello = {
            "type": "hello",
            "node": self.node,
            "protocol": 1,
            "version": "0.1.0",
            "signature": signature(self.key, self.node, self.origin, nonce),
        }
        await self.socket.send(json.dumps(hello | changes))
        self.welcome = json.loads(await self.socket.recv())

    def start(self) -> None:
        self._reader = asyncio.create_task(self._read())

    def answer_with(self, handler: Handler) -> None:
        self._handler = handler

    def serve(self, base_url: str, key: str = "") -> None:
        """Requests are carried out at a real HTTP server, with a key that the console does not know."""
        self._handler = lambda exchange: self._forward(exchange, base_url, key)

    async def say(self, *messages: bytes) -> None:
        for message in messages:
            await self.socket.send(message)

    async def flush(self) -> None:
        while (message := self.session.take()) is not None:
            await self.socket.send(message)

    async def closed(self) -> int | None:
        """The code with which the console closed the connection."""
        async with asyncio.timeout(10):
            await self.socket.wait_closed()
        return self.socket.close_code

    def freeze(self) -> None:
        """Reads nothing more, as a stopped process would."""
        assert self._reader is not None
        self._reader.cancel()
        self.socket.transport.pause_reading()

    async def until(self, found: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not found():
                self.told.clear()
                await self.told.wait()

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                assert isinstance(message, bytes)
                if (event := self.session.receive(message)) is not None:
                    self._react(event)
                    self.told.set()
                await self.flush()
        except ConnectionClosed:
            return

    def _react(self, event: Event) -> None:
        match event:
            case HeadReceived(stream, payload, ended):
                self._begin(stream, payload, ended)
            case DataReceived(stream, data, ended):
                exchange = self.exchanges[stream]
                exchange.body += data
                self.session.consumed(stream, len(data))
                if ended:
                    exchange.whole.set()
            case ResetReceived(stream):
                if (exchange := self.exchanges.pop(stream, None)) is not None and exchange.task is not None:
                    exchange.task.cancel()
            case RoomGained(stream):
                if (exchange := self.exchanges.get(stream)) is not None:
                    exchange.room.set()
            case SettingsReceived(payload):
                self.settings.append(json.loads(payload))
            case GoAwayReceived():
                self.away = event

    def _begin(self, stream: int, payload: bytes, ended: bool) -> None:
        exchange = self.exchanges[stream] = Exchange(self, stream, payload)
        self.seen.append(exchange)
        if ended:
            exchange.whole.set()
        exchange.task = asyncio.create_task(self._handle(exchange))

    async def _handle(self, exchange: Exchange) -> None:
        try:
            await self._handler(exchange)
        except (StreamGone, ConnectionClosed):
            return

    async def _forward(self, exchange: Exchange, base_url: str, key: str) -> None:
        body = await exchange.request()
        head = exchange.head
        url = base_url + head["path"].removeprefix("/v1")
        headers = {name: value for name, value in head["headers"].items() if name.lower() not in NEVER_PASSED_ON}
        if key:
            headers["authorization"] = f"Bearer {key}"
        begun = False
        try:
            request = self._http.build_request(head["method"], url, content=body, headers=headers)
            answer = await self._http.send(request, stream=True)
            try:
                await exchange.begin(answer.status_code, dict(answer.headers))
                begun = True
                async for part in answer.aiter_raw():
                    await exchange.send(part)
                await exchange.send(b"", ended=True)
            finally:
                await answer.aclose()
        except httpx.ConnectError:
            await exchange.reset(Code.LOCAL_UNREACHABLE)
        except httpx.HTTPError as error:
            await exchange.reset(Code.INTERNAL_ERROR, f"{'cut' if begun else 'no head'}: {type(error).__name__}")


async def refuse(exchange: Exchange) -> None:
    await exchange.reset(Code.REFUSED_STREAM)
