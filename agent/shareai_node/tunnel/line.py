"""Those who wait for one of so many places, first come, first served. Both ends of the tunnel have one.

Whoever is called stays in line until it runs, so that nobody passes it on the way, and leaves by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice


class Line:
    """Args: places: how many there are."""

    __slots__ = ("_turns", "places")

    def __init__(self, places: int) -> None:
        self.places = places
        self._turns: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._turns)

    def call(self, taken: int) -> None:
        """Calls as many as there are places beside those that are taken. To be told whenever there may be more."""
        for turn in islice(self._turns, max(self.places - taken, 0)):
            if not turn.done():
                turn.set_result(None)

    async def wait(self, taken: int, within_s: float | None = None) -> None:
        """Returns when it is one's turn; the place is to be taken before anything else is awaited.

        Raises: TimeoutError: it was not, for so long. After this, and when cancelled, the next must be called.
        """
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        self.call(taken)
        try:
            async with asyncio.timeout(within_s):
                await turn
        finally:
            self._turns.remove(turn)

    def disperse(self, reason: Exception) -> None:
        """Raised in everybody who waits."""
        for turn in self._turns:
            if not turn.done():
                turn.set_exception(reason)
