"""Writes of one turn of the event loop leave together, at its end.

A peer that sleeps is woken by what is written to it, and waking costs the writer as much as writing does. One that
gets the requests, or the answers, of a turn right after each other is woken once for all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

logger = logging.getLogger(__name__)


class Writable(Protocol):
    """Of an `asyncio.Transport`, what is asked of it here."""

    def is_closing(self) -> bool: ...
    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def get_extra_info(self, name: str) -> Any: ...


class Together:
    """Of one event loop, see `of_running_loop`. Whoever writes to the same transport otherwise, or closes it, flushes
    first."""

    __slots__ = ("_first", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[tuple[Writable, bytes]] = []
        self._first: list[Callable[[], None]] = []

    def write(self, transport: Writable, data: bytes) -> None:
        if not self._waiting and not self._first:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((transport, data))

    def first(self, call: Callable[[], None]) -> None:
        """Calls it at the end of the turn, before anything leaves. It must not raise."""
        if not self._waiting and not self._first:
            asyncio.get_running_loop().call_soon(self.flush)
        self._first.append(call)

    def flush(self) -> None:
        """Nothing goes to who is gone meanwhile."""
        first, self._first = self._first, []
        for call in first:
            call()
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            try:
                if not transport.is_closing():
                    transport.write(data)
            except Exception:
                # Whatever is wrong with one connection, the others wait behind it.
                logger.exception("could not write to %s", transport.get_extra_info("peername"))
                transport.abort()


def of_running_loop() -> Together:
    """The same for all connections of a loop; to be asked for when a connection is made."""
    loop = asyncio.get_running_loop()
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = Together()
    return found


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Together] = WeakKeyDictionary()
