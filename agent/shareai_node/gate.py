"""How many requests are in flight, and whether another one may come in."""

from __future__ import annotations

import asyncio
import time

from shareai_node.idle import STARTING, Standing

_SETTLES_S = 10.0
"""A card's load is a mean over a while: just after an answer it is still that answer's."""


class Gate:
    def __init__(self, most: int) -> None:
        self.most = most
        self.standing: Standing = STARTING
        self.in_flight = 0
        self._left_at_s = float("-inf")
        self._empty = asyncio.Event()
        self._empty.set()

    def refusal(self) -> str | None:
        """Why a request may not come in now; None if it may."""
        if not self.standing.accepting:
            return str(self.standing.reason or "starting")
        return "full" if self.in_flight >= self.most else None

    def enter(self) -> None:
        self.in_flight += 1
        self._empty.clear()

    def leave(self) -> None:
        self.in_flight -= 1
        self._left_at_s = time.monotonic()
        if self.in_flight == 0:
            self._empty.set()

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
