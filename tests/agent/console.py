"""A console as small as the protocol allows: enrolment, challenge, the console's role in the tunnel.

It is the contract's other end for the agent's tests, and it misbehaves when told to (`refuse_with`, `close_with`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from aiohttp import WSMsgType, web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shareai_node.tunnel.errors import Code, ProtocolViolation
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

CONFIG: dict[str, Any] = {"paused": False, "mode": "always", "models": None, "max_concurrent": 64}


class Broken(Exception):
    """The stream was reset, or its connection went away."""

    def __init__(self, code: Code | None, reason: str) -> None:
        super().__init__(f"{code and code.name}: {reason}")
        self.code = code
        self.reason = reason


@dataclass
class Stream:
    """The console's side of one request."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    events: asyncio.Queue[bytes | Broken | None] = field(default_factory=asyncio.Queue)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    broken: Broken | None = None

    def break_off(self, broken: Broken) -> None:
        self.broken = broken
        self.events.put_nowait(broken)
        self.begun.set()
        self.room.set()


class NodeLink:
    """One connected node."""

    def __init__(self, socket: web.WebSocketResponse, node: str) -> None:
        self.socket = socket
        self.node = node
        self.session = Session(Role.CONSOLE)
        self.said: dict[str, Any] = {}
        self.going_away: GoAwayReceived | None = None
        self.streams: dict[int, Stream] = {}
        self.pings = 0
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self.closed = asyncio.Event()

    async def live(self) -> None:
        writer = asyncio.create_task(self._write())
        try:
            async for message in self.socket:
                if message.type is not WSMsgType.BINARY:
                    break
                self.pings += message.data[0] == 6
                event = self.session.receive(message.data)
                if event is not None:
                    self._meet(event)
                self._wake.set()
        except ProtocolViolation:
            pass
        finally:
            writer.cancel()
            self.closed.set()
            for stream in self.streams.values():
                stream.break_off(Broken(None, "the connection is gone"))

    async def _write(self) -> None:
        while True:
            self._wake.clear()
            while (message := self.session.take()) is not None:
                await self.socket.send_bytes(message)
            await self._wake.wait()

    def _meet(self, event: Event) -> None:
        match event:
            case SettingsReceived(payload):
                self.said |= json.loads(payload)
                self._news.set()
            case HeadReceived(number, payload, ended):
                stream, head = self.streams[number], json.loads(payload)
                stream.status, stream.headers = head["status"], head["headers"]
                stream.begun.set()
                if ended:
                    stream.events.put_nowait(None)
            case DataReceived(number, data, ended):
                if data:
                    self.streams[number].events.put_nowait(data)
                if ended:
                    self.streams[number].events.put_nowait(None)
            case ResetReceived(number, code, reason):
                self.streams[number].break_off(Broken(code, reason))
            case RoomGained(number):
                self.streams[number].room.set()
            case GoAwayReceived():
                self.going_away = event

    # what a test does with it

    async def until(self, right: Callable[[dict[str, Any]], bool], within_s: float = 20) -> dict[str, Any]:
        """What the node has said, once it is right."""
        async with asyncio.timeout(within_s):
            while not self._is_right(right):
                self._news.clear()
                await self._news.wait()
        return self.said

    def _is_right(self, right: Callable[[dict[str, Any]], bool]) -> bool:
        try:
            return right(self.said)
        except KeyError:
            return False

    def settings(self, **values: Any) -> None:
        self.session.send_settings(json.dumps(values).encode())
        self._wake.set()

    def go_away(self) -> None:
        self.session.go_away(Code.NO_ERROR, "this process ends")
        self._wake.set()

    def raw(self, message: bytes) -> None:
        """A frame that the session would not make."""
        self.session._messages.append(message)
        self._wake.set()

    async def open(self, path: str, body: object = None, method: str = "POST", **headers: str) -> tuple[int, Stream]:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = {"method": method, "path": path, "headers": {"content-type": "application/json", **headers}}
        number = self.session.open(json.dumps(head).encode(), ended=not data)
        self.streams[number] = stream = Stream()
        self._wake.set()
        while data and stream.broken is None:
            size = min(self.session.room(number), len(data))
            if size == 0:
                stream.room.clear()
                await stream.room.wait()
                continue
            self.session.send_data(number, data[:size], ended=size == len(data))
            data = data[size:]
            self._wake.set()
        return number, stream

    async def pieces(self, number: int, stream: Stream, within_s: float = 30) -> AsyncIterator[bytes]:
        """Raises Broken."""
        while True:
            async with asyncio.timeout(within_s):
                event = await stream.events.get()
            if isinstance(event, Broken):
                raise event
            if event is None:
                return
            yield event
            self.session.consumed(number, len(event))
            self._wake.set()

    async def ask(self, path: str, body: object = None, method: str = "POST") -> tuple[int | None, bytes]:
        """A whole answer. Raises Broken."""
        number, stream = await self.open(path, body, method)
        data = b"".join([piece async for piece in self.pieces(number, stream)])
        return stream.status, data

    def cancel(self, number: int) -> None:
        self.session.reset(number, Code.CANCEL, "the caller left")
        self._wake.set()


class Console:
    def __init__(self) -> None:
        self.tokens = {"sai-node-good-token-1"}
        self.used: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.enrollments: list[dict[str, Any]] = []
        self.refuse_with: tuple[int, dict[str, Any]] | None = None
        """Of enrolments."""

        self.lose_answers = 0
        self.close_with: list[tuple[int, str]] = []
        """Of the next connections, instead of a welcome."""

        self.config = dict(CONFIG)
        self.heartbeat_s, self.dead_after_s = 10.0, 30.0
        self.links: list[NodeLink] = []
        self.tries = 0
        self.headers: list[dict[str, str]] = []
        self.files: dict[str, bytes] = {}
        self._arrived = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/nodes/v1/enroll", self._enroll)
        app.router.add_get("/nodes/v1/connect", self._connect)
        app.router.add_get("/nodes/v1/agent/{name}", self._file)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            for link in self.links:
                await link.socket.close(code=1012)
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def connected(self, count: int = 1, within_s: float = 30) -> NodeLink:
        """The newest connection, once there have been so many."""
        async with asyncio.timeout(within_s):
            while len(self.links) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.links[-1]

    async def _file(self, request: web.Request) -> web.Response:
        data = self.files.get(request.match_info["name"])
        return web.Response(body=data) if data is not None else web.Response(status=404)

    async def _enroll(self, request: web.Request) -> web.StreamResponse:
        said = await request.json()
        self.enrollments.append(said)
        if self.refuse_with is not None:
            status, error = self.refuse_with
            return web.json_response({"error": error}, status=status)
        token, key = said["token"], said["public_key"]
        if token not in self.tokens:
            return _refusal(401, "token_unknown")
        if self.used.get(token, key) != key:
            return _refusal(409, "token_used")
        if not _is_signed(key, said["proof"], self._enrollment_message(said)):
            return _refusal(400, "proof_invalid")
        again = token in self.used
        self.used[token] = key
        node = next((node for node, known in self.keys.items() if known == key), f"node_{len(self.keys) + 1}")
        self.keys[node] = key
        if self.lose_answers:
            self.lose_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        answer = {
            "node": node,
            "slug": "tower",
            "name": said["name"] or said["hostname"],
            "organization": "Acme",
            "connect_url": self.origin.replace("http", "ws", 1) + "/nodes/v1/connect",
            "console_time": datetime.now(UTC).isoformat(),
        }
        return web.json_response(answer, status=200 if again else 201)

    def _enrollment_message(self, said: dict[str, Any]) -> bytes:
        head = b"shareai-node enroll v1\n" + said["token"].encode() + b"\n" + self.origin.encode() + b"\n"
        return head + _bytes(said["public_key"])

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        self.tries += 1
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        socket = web.WebSocketResponse(protocols=["shareai.node.v1"], compress=False, max_msg_size=65_536)
        await socket.prepare(request)
        if self.close_with:
            code, reason = self.close_with.pop(0)
            await socket.close(code=code, message=reason.encode())
            return socket
        nonce = secrets.token_bytes(32)
        told = {"type": "challenge", "nonce": _text(nonce), "console": self.origin, "protocol": 1}
        await socket.send_json({**told, "time": datetime.now(UTC).isoformat()})
        hello = await socket.receive_json()
        message = b"shareai-node connect v1\n" + hello["node"].encode() + b"\n" + self.origin.encode() + b"\n" + nonce
        if not _is_signed(self.keys.get(hello["node"], ""), hello["signature"], message):
            await socket.close(code=4401)
            return socket
        await socket.send_json(
            {
                "type": "welcome",
                "generation": len(self.links) + 1,
                "heartbeat_s": self.heartbeat_s,
                "dead_after_s": self.dead_after_s,
                "config": self.config,
            }
        )
        link = NodeLink(socket, hello["node"])
        self.links.append(link)
        self._arrived.set()
        await link.live()
        return socket


def _refusal(status: int, code: str) -> web.Response:
    error = {"message": f"The console says {code}.", "type": "invalid_request_error", "param": None, "code": code}
    return web.json_response({"error": error}, status=status)


def _is_signed(key: str, signature: str, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(_bytes(key)).verify(_bytes(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
