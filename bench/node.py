"""Machines for the bench: one that answers baked answers through the tunnel, or thousands that are merely there.

    python -m bench.node --connect ws://127.0.0.1:8000/nodes/v1/connect --nodes node_a node_b …
                                            prints {"connected": N} once all are welcome

All have the one key whose seed is in `BENCH_NODE_KEY`. As an agent does, it writes each frame by itself, reports what
it is when it comes in, and sends a PING every ten seconds; from SIGUSR1 on its vitals as well, as often as an agent
does on a machine that is never quite the same, for it says again only what has changed. A stream
comes back to back, or one chunk every 10 ms for `bench-paced`, as from `bench.upstream`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import count
from typing import Any

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench import answers
from shareai_node.tunnel.events import DataReceived, Event, HeadReceived
from shareai_node.tunnel.session import Role, Session

KEY = "BENCH_NODE_KEY"
_AT_ONCE = 32
_HEADS = {
    streamed: json.dumps({"status": 200, "headers": {"content-type": kind}}).encode()
    for streamed, kind in ((False, "application/json"), (True, "text/event-stream"))
}
_COMPLETION = answers.completion()
_TELLS_EVERY_S = 10.0
_ABLE = {"chat": True, "completions": True, "embeddings": False, "tools": False, "json_schema": True, "vision": False}
_REPORT: tuple[dict[str, Any], ...] = (
    {"state": {"mode": "always", "accepting": True, "reason": None, "detail": None}},
    {"local_server": {"ok": True, "base_url": "http://127.0.0.1:8080", "runtime": "openai", "error": None}},
    {"models": [{"id": "bench-tunnel", "runtime": "openai", "context": 8192, "capabilities": _ABLE, "measured": {}}]},
)
_CARD = {"name": "NVIDIA GeForce RTX 4090", "vram_total_bytes": 24 << 30, "vram_used_bytes": 8 << 30, "load": 0.02}
_MACHINE = {"gpu": [_CARD], "ram_total_bytes": 64 << 30, "queue": 0, "in_flight": 0, "on_battery": False}


_changes = threading.Event()
"""Whether the machines are never quite the same."""


def _vitals(turn: int) -> dict[str, Any]:
    """Never twice the same, for what is the same an agent does not say again."""
    return {"vitals": {**_MACHINE, "ram_used_bytes": (16 << 30) + turn % 2 * (256 << 20), "cpu_load": turn % 2 / 10}}


class Machine:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._session = Session(Role.NODE)
        self._bodies: dict[int, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        telling = asyncio.create_task(self._tell())
        try:
            async for message in self._socket:
                assert isinstance(message, bytes)
                if (event := self._session.receive(message)) is not None:
                    self._meet(event)
                await self._flush()
        finally:
            telling.cancel()

    async def _tell(self) -> None:
        for part in _REPORT:
            self._session.send_settings(json.dumps(part).encode())
        for turn in count():
            if turn == 0 or _changes.is_set():
                self._session.send_settings(json.dumps(_vitals(turn)).encode())
            await self._flush()
            await asyncio.sleep(_TELLS_EVERY_S)
            self._session.ping()

    def _meet(self, event: Event) -> None:
        match event:
            case HeadReceived(stream):
                self._bodies[stream] = b""
            case DataReceived(stream, data, ended):
                self._bodies[stream] += data
                self._session.consumed(stream, len(data))
                if ended:
                    task = asyncio.create_task(self._answer(stream, self._bodies.pop(stream)))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _answer(self, stream: int, body: bytes) -> None:
        asked = json.loads(body)
        streamed = bool(asked.get("stream"))
        self._session.send_head(stream, _HEADS[streamed])
        if not streamed:
            self._session.send_data(stream, _COMPLETION, ended=True)
            await self._flush()
            return
        events = answers.events((asked.get("stream_options") or {}).get("include_usage", False))
        pause_s = answers.CHUNK_INTERVAL_S if answers.PACED in body else 0.0
        for event in events[: answers.CHUNKS]:
            self._session.send_data(stream, event)
            await self._flush()
            await asyncio.sleep(pause_s)
        self._session.send_data(stream, b"".join(events[answers.CHUNKS :]), ended=True)
        await self._flush()

    async def _flush(self) -> None:
        while (message := self._session.take()) is not None:
            await self._socket.send(message)


async def _enter(url: str, node: str, key: Ed25519PrivateKey) -> ClientConnection:
    options = {"compression": None, "ping_interval": None, "open_timeout": 60}
    socket = await connect(url, subprotocols=[Subprotocol("shareai.node.v1")], **options)  # type: ignore[arg-type]
    nonce = urlsafe_b64decode(json.loads(await socket.recv())["nonce"] + "==")
    origin = url.replace("ws", "http", 1).partition("/nodes/")[0]
    signed = key.sign(b"shareai-node connect v1\n" + node.encode() + b"\n" + origin.encode() + b"\n" + nonce)
    hello = {"type": "hello", "node": node, "protocol": 1, "version": "0.1.0"}
    await socket.send(json.dumps(hello | {"signature": urlsafe_b64encode(signed).rstrip(b"=").decode()}))
    assert json.loads(await socket.recv())["type"] == "welcome"
    return socket


async def _run(url: str, nodes: list[str]) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _changes.set)
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(os.environ[KEY]))
    doorway = asyncio.Semaphore(_AT_ONCE)
    machines: list[asyncio.Task[None]] = []

    async def come_in(node: str) -> None:
        async with doorway:
            socket = await _enter(url, node, key)
        machines.append(asyncio.create_task(Machine(socket).serve()))

    await asyncio.gather(*[come_in(node) for node in nodes])
    print(json.dumps({"connected": len(machines)}), flush=True)
    await asyncio.gather(*machines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.node", description=__doc__)
    parser.add_argument("--connect", required=True)
    parser.add_argument("--nodes", nargs="+", required=True)
    words = parser.parse_args()
    uvloop.run(_run(words.connect, words.nodes))


if __name__ == "__main__":
    main()
