"""Staying connected: one connection after another, for as long as the agent runs.

A connection knows nothing of the next one, and this loop nothing of what a connection does. When the console asks
its nodes to move, the next connection is made while the old one still serves what it has in flight.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from shareai_node.board import Board
from shareai_node.classification import FAILURES, Backoff, Next, Verdict, classify
from shareai_node.config import Config
from shareai_node.connection import Connection
from shareai_node.errors import NotEnrolled
from shareai_node.handshake import dial, introduce
from shareai_node.identity import Identity
from shareai_node.relay import Relay

_MOVING_WITHIN_S = 1800.0
_log = logging.getLogger(__name__)


class Link:
    """
    Args:
        obey: is given what the console says in `config`.
    """

    def __init__(
        self,
        config: Config,
        identity: Identity,
        relay: Relay,
        board: Board,
        obey: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._config = config
        self._identity = identity
        self._relay = relay
        self._board = board
        self._obey = obey
        self._backoff = Backoff()
        self._current: Connection | None = None
        self._former: set[asyncio.Task[None]] = set()
        self._leaving = False
        self.connected_since_s: float | None = None
        """Unix time."""

        self.last_words = ""
        """Why it is not connected."""

    @property
    def connected(self) -> bool:
        return self._current is not None

    @property
    def generation(self) -> int | None:
        return None if self._current is None else self._current.welcome.generation

    async def run(self) -> None:
        """Raises: NotEnrolled: the console will not have this machine any more."""
        try:
            while not self._leaving:
                verdict = await self._once()
                if verdict.then is Next.STOP:
                    raise NotEnrolled(verdict.said)
                wait_s = self._backoff.wait_s(verdict)
                self.last_words = verdict.said
                _log.warning("%s Next try in %.1f s.", verdict.said, wait_s)
                await asyncio.sleep(wait_s)
        finally:
            for former in list(self._former):
                former.cancel()
            await asyncio.gather(*self._former, return_exceptions=True)

    async def leave(self, within_s: float) -> None:
        """For the end of the agent: nothing new, and what is in flight comes to its end."""
        self._leaving = True
        if self._current is not None:
            await self._current.leave(within_s)

    async def _once(self) -> Verdict:
        try:
            socket = await dial(self._config)
        except FAILURES as error:
            return classify(error, self._config)
        try:
            welcome = await introduce(socket, self._config, self._identity)
        except FAILURES as error:
            await socket.close()
            return classify(error, self._config)
        return await self._serve(Connection(socket, welcome, self._relay, self._board, self._obey))

    async def _serve(self, connection: Connection) -> Verdict:
        _log.info("connected to %s, generation %d", self._config.console, connection.welcome.generation)
        self._current, self.connected_since_s = connection, time.time()
        started_s = time.monotonic()
        running = asyncio.create_task(connection.run())
        moving = asyncio.create_task(connection.moving.wait())
        try:
            await asyncio.wait((running, moving), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                self._let_finish(connection, running)
                return Verdict(Next.SOON, "The console asked to connect anew.")
            error = running.exception()
            assert error is not None  # a connection does not end without a reason
            if not isinstance(error, FAILURES):
                raise error
            return classify(error, self._config)
        finally:
            moving.cancel()
            self._current, self.connected_since_s = None, None
            if running not in self._former:
                running.cancel()
            self._backoff.lived(time.monotonic() - started_s)

    def _let_finish(self, connection: Connection, running: asyncio.Task[None]) -> None:
        """Both of its tasks are kept until they are done; how it ends is no matter any more."""
        leaving = asyncio.create_task(connection.leave(_MOVING_WITHIN_S))
        for task in (running, leaving):
            self._former.add(task)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._former.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, FAILURES):
            _log.error("a former connection failed in the agent itself", exc_info=error)
