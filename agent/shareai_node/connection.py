"""One connection to the console, from its welcome to its end. `shareai_node.link` makes the next one.

reader ── session.receive ──▶ an exchange per stream ──▶ relay
writer ◀── session.take ◀── exchanges, news of the board, heartbeat
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from shareai_node.board import Board
from shareai_node.exchange import Exchange
from shareai_node.handshake import Welcome
from shareai_node.relay import Relay
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

_GOING_AWAY = 1001
_PROTOCOL_ERROR = 1002
_log = logging.getLogger(__name__)


class Silent(Exception):
    """Nothing came from the console for too long: the connection is dead, whatever TCP says."""


class Connection:
    """
    Args:
        obey: is given what the console says in `config`.
    """

    def __init__(
        self,
        socket: ClientConnection,
        welcome: Welcome,
        relay: Relay,
        board: Board,
        obey: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.welcome = welcome
        self.moving = asyncio.Event()
        """The console asks this node to connect anew; what is in flight here goes on."""

        self._socket = socket
        self._session = Session(Role.NODE)
        self._relay = relay
        self._board = board
        self._obey = obey
        self._wake = asyncio.Event()
        self._exchanges: dict[int, Exchange] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._heard_at_s = time.monotonic()

    async def run(self) -> None:
        """Serves until the connection ends.

        Raises: websockets.ConnectionClosed; Silent; ProtocolViolation.
        """
        self._obey(self.welcome.config)
        parts = [self._read(), self._write(), self._tell(), self._beat()]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ProtocolViolation as violation:
            await self._say_violation(violation)
            raise
        finally:
            await self._end([*tasks, *self._tasks.values()])

    async def leave(self, within_s: float) -> None:
        """Takes nothing new, lets what is in flight come to its end, and closes."""
        self._session.go_away(Code.NO_ERROR, "this node goes away")
        self._wake.set()
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
            await asyncio.wait_for(self._sent(), within_s)
        except TimeoutError:
            _log.warning("%d requests were broken off", len(self._tasks))
        await self._socket.close(_GOING_AWAY, "going away")

    async def _sent(self) -> None:
        """The last bytes may wait for credit or for the socket when their exchange is done."""
        while self._session.open_streams:
            await asyncio.sleep(0.02)

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._session.close()
        await self._socket.close()

    async def _say_violation(self, violation: ProtocolViolation) -> None:
        try:
            while (message := self._session.take()) is not None:
                await self._socket.send(message)
            await self._socket.close(_PROTOCOL_ERROR, violation.code.name)
        except ConnectionClosed:
            return

    # ── what comes ──────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        async for message in self._socket:
            self._heard_at_s = time.monotonic()
            if isinstance(message, str):
                raise ProtocolViolation(Code.PROTOCOL_ERROR, "text after the welcome")
            event = self._session.receive(message)
            if event is not None:
                self._meet(event)
            self._wake.set()
        await self._socket.wait_closed()
        raise self._socket.protocol.close_exc

    def _meet(self, event: Event) -> None:
        match event:
            case HeadReceived(stream, payload, ended):
                self._begin(stream, payload, ended)
            case DataReceived(stream, data, ended):
                if (exchange := self._exchanges.get(stream)) is not None:
                    exchange.feed(data, ended)
                else:
                    self._session.consumed(stream, len(data))
            case ResetReceived(stream):
                if (task := self._tasks.get(stream)) is not None:
                    task.cancel()
            case RoomGained(stream):
                if (exchange := self._exchanges.get(stream)) is not None:
                    exchange.gained_room()
            case SettingsReceived(payload):
                self._take_settings(payload)
            case GoAwayReceived(_, reason):
                _log.info("the console asks to move: %s", reason)
                self.moving.set()

    def _take_settings(self, payload: bytes) -> None:
        try:
            said = json.loads(payload)
        except ValueError:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, "settings that are no JSON") from None
        config = said.get("config") if isinstance(said, dict) else None
        if isinstance(config, dict):
            self._obey(config)

    def _begin(self, stream: int, head: bytes, ended: bool) -> None:
        exchange = Exchange(self._session, stream, head, ended, self._wake.set)
        self._exchanges[stream] = exchange
        self._idle.clear()
        task = asyncio.create_task(self._relay.serve(exchange))
        self._tasks[stream] = task
        task.add_done_callback(lambda done: self._ended(exchange, done))

    def _ended(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._exchanges.pop(exchange.stream, None)
        self._tasks.pop(exchange.stream, None)
        if not self._tasks:
            self._idle.set()
        if task.cancelled():
            exchange.reset(Code.CANCEL, "broken off")
        elif (error := task.exception()) is not None:
            _log.error("a request failed in the agent itself", exc_info=error)
            exchange.reset(Code.INTERNAL_ERROR, "the agent failed")

    # ── what goes ───────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        while True:
            self._wake.clear()
            while (message := self._session.take()) is not None:
                await self._socket.send(message)
            await self._wake.wait()

    async def _tell(self) -> None:
        seen = 0
        while True:
            seen, news = await self._board.news(seen)
            for name, value in news.items():
                self._session.send_settings(json.dumps({name: value}, separators=(",", ":")).encode())
            self._wake.set()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.welcome.heartbeat_s)
            silent_s = time.monotonic() - self._heard_at_s
            if silent_s > self.welcome.dead_after_s:
                raise Silent(f"nothing came for {silent_s:.0f} s")
            self._session.ping()
            self._wake.set()
