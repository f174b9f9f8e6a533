"""Machines for the bench: one that answers baked answers through the tunnel, or thousands that are merely there.

    python -m bench.node --connect ws://127.0.0.1:8000/nodes/v1/connect --nodes node_a node_b …
                                            prints {"connected": N} once all are welcome

All have the one key whose seed is in `BENCH_NODE_KEY`. As an agent does, it writes each frame by itself. A stream
comes back to back, or one chunk every 10 ms for `bench-paced`, as from `bench.upstream`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

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


class Machine:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._session = Session(Role.NODE)
        self._bodies: dict[int, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        async for message in self._socket:
            assert isinstance(message, bytes)
            if (event := self._session.receive(message)) is not None:
                self._meet(event)
            await self._flush()

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
