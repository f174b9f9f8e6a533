"""How many requests are in flight, and whether another one may come in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shareai_node.idle import STARTING, Standing
from shareai_node.tunnel.line import Line

_SETTLES_S = 10.0
"""A card's load is a mean over a while: just after an answer it is still that answer's."""

_MOST_PER_SLOT = 2
"""The console sends no more than are served at a time, and those in whose favour it has just broken others off."""


class Gate:
    """`in_flight` are all that came in, also those that wait for a slot."""

    def __init__(self, most: int) -> None:
        self.standing: Standing = STARTING
        self.in_flight = 0
        self._served = 0
        self._line = Line(most)
        self._left_at_s = float("-inf")
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def most(self) -> int:
        """How many are served at a time."""
        return self._line.places

    def resize(self, most: int) -> None:
        self._line.places = most
        self._line.call(self._served)

    def refusal(self) -> str | None:
        """Why a request may not come in now; None if it may."""
        if not self.standing.accepting:
            return str(self.standing.reason or "starting")
        return "full" if self.in_flight >= self.most * _MOST_PER_SLOT else None

    def enter(self) -> None:
        self.in_flight += 1
        self._empty.clear()

    def leave(self) -> None:
        self.in_flight -= 1
        self._left_at_s = time.monotonic()
        if self.in_flight == 0:
            self._empty.set()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Waits for a slot, and keeps it."""
        if self._line or self._served >= self.most:
            await self._wait()
        self._served += 1
        try:
            yield
        finally:
            self._served -= 1
            self._line.call(self._served)

    async def _wait(self) -> None:
        try:
            await self._line.wait(self._served)
        except BaseException:
            self._line.call(self._served)
            raise

    @property
    def serving(self) -> bool:
        """A request is in flight, or just was."""
        return self.in_flight > 0 or time.monotonic() - self._left_at_s < _SETTLES_S

    async def emptied(self, within_s: float) -> bool:
        """Waits until nothing is in flight. Returns whether that came to pass."""
        try:
            await asyncio.wait_for(self._empty.wait(), within_s)
        except TimeoutError:
            return False
        return True
