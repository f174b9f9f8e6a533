"""The first words of a connection: who this node is, proven anew each time.

console ──▶ challenge   32 fresh bytes
node    ──▶ hello       its id, and a signature over them and the console's origin
console ──▶ welcome     or a close, whose code says why
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from shareai_node import __version__
from shareai_node.config import Config
from shareai_node.console import USER_AGENT, tls_context
from shareai_node.identity import Identity, from_b64url
from shareai_node.tunnel.frames import MAX_FRAME_BYTES

PROTOCOL = 1
SUBPROTOCOL = Subprotocol("shareai.node.v1")
_WITHIN_S = 10.0
_NONCE_BYTES = 32


class NotAConsole(Exception):
    """What answers there does not speak this protocol."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """
    Args:
        console_origin: as the console calls itself; another one than ours explains a refused signature.
    """

    generation: int
    heartbeat_s: float
    dead_after_s: float
    config: Mapping[str, Any]


async def dial(config: Config) -> ClientConnection:
    """The WebSocket, by the environment's proxy where it names one.

    Raises: `faults.NETWORK_ERRORS`.
    """
    secure = config.connect_url.startswith("wss:")
    return await connect(
        config.connect_url,
        subprotocols=[SUBPROTOCOL],
        compression=None,
        max_size=MAX_FRAME_BYTES,
        open_timeout=_WITHIN_S,
        close_timeout=2,
        ping_interval=None,  # the tunnel has a heartbeat of its own
        user_agent_header=USER_AGENT,
        ssl=tls_context() if secure else None,
        logger=None,
    )


async def introduce(socket: ClientConnection, config: Config, identity: Identity) -> Welcome:
    """Raises: websockets.ConnectionClosed: its code says why; NotAConsole; TimeoutError."""
    async with asyncio.timeout(_WITHIN_S):
        challenge = _object(await socket.recv(), "challenge")
        nonce = _nonce(challenge)
        hello = {
            "type": "hello",
            "node": config.node,
            "protocol": PROTOCOL,
            "version": __version__,
            "signature": identity.answer(config.node, config.console, nonce),
        }
        await socket.send(json.dumps(hello))
        return _welcome(_object(await socket.recv(), "welcome"))


def _nonce(challenge: Mapping[str, Any]) -> bytes:
    try:
        nonce = from_b64url(str(challenge.get("nonce")))
    except ValueError:
        nonce = b""
    if len(nonce) != _NONCE_BYTES:
        raise NotAConsole("a challenge that is none")
    return nonce


def _welcome(said: Mapping[str, Any]) -> Welcome:
    try:
        heartbeat_s, dead_after_s = float(said["heartbeat_s"]), float(said["dead_after_s"])
        generation = int(said["generation"])
    except (KeyError, TypeError, ValueError):
        raise NotAConsole("a welcome that is none") from None
    if not 0 < heartbeat_s < dead_after_s <= 3600:
        raise NotAConsole("a heartbeat that cannot be kept")
    config = said.get("config")
    return Welcome(generation, heartbeat_s, dead_after_s, config if isinstance(config, dict) else {})


def _object(message: str | bytes, expected: str) -> Mapping[str, Any]:
    try:
        said = json.loads(message) if isinstance(message, str) else None
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("type") != expected:
        raise NotAConsole(f"no {expected} came")
    return said
