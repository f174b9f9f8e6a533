"""Connections to upstreams that wait for their next exchange, the latest used first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol, TypeVar

from providers.http1 import Connection, Origin

C = TypeVar("C", bound=asyncio.Protocol)


class Dialer(Protocol):
    """As `providers.dialer.Dialer`, the only one that may dial what tenants choose."""

    async def dial(self, origin: Origin, make: Callable[[], C], within_s: float) -> C: ...


IDLE_S = 15.0
"""Most servers keep an idle connection for longer than this."""
MOST_IDLE_PER_ORIGIN = 256


class Pool:
    def __init__(self, dialer: Dialer, idle_s: float = IDLE_S) -> None:
        self._dialer = dialer
        self._idle_s = idle_s
        self._idle: dict[Origin, list[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    def find_idle(self, origin: Origin) -> Connection | None:
        waiting = self._idle.get(origin)
        while waiting:
            connection = waiting.pop()
            if connection.is_clean():
                return connection
            connection.abort()
        return None

    async def fresh(self, origin: Origin, within_s: float) -> Connection:
        """Raises: EgressRefused; UpstreamFailure: DNS, CONNECT, TLS."""
        return await self._dialer.dial(origin, lambda: Connection(origin, self._take_back), within_s)

    def close(self) -> None:
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for waiting in self._idle.values():
            for connection in waiting:
                connection.abort()
        self._idle.clear()

    def _take_back(self, connection: Connection) -> None:
        waiting = self._idle.setdefault(connection.origin, [])
        if self._is_closed or len(waiting) >= MOST_IDLE_PER_ORIGIN:
            connection.abort()
            return
        connection.idle_since = monotonic()
        waiting.append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_s, self._drop_old)

    def _drop_old(self) -> None:
        """The oldest wait at the front."""
        self._sweep = None
        since = monotonic() - self._idle_s
        for origin, waiting in list(self._idle.items()):
            old = sum(1 for connection in waiting if connection.idle_since < since)
            for connection in waiting[:old]:
                connection.abort()
            del waiting[:old]
            if not waiting:
                del self._idle[origin]
        if self._idle:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_s / 2, self._drop_old)
