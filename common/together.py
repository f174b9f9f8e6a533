"""Writes of one turn of the event loop leave together, at its end.

What is written to a peer that sleeps wakes it, and waking costs the writer more than the write. A peer that gets the
requests or answers of a turn one right after the other is woken once.
"""

from __future__ import annotations

import asyncio


class Together:
    """Of one event loop. Whoever writes to the same transport otherwise has to wait until the turn is over."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((transport, data))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
