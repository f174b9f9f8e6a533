"""When each key was used last: noted in memory per request, written to PostgreSQL every few seconds in a thread."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

FLUSH_S = 2.0

logger = logging.getLogger(__name__)


class LastUsed:
    """`write` takes pairs of key id and Unix time and blocks; what it raises while PostgreSQL is away is given."""

    def __init__(
        self, write: Callable[[Iterable[tuple[int, float]]], None], unavailable: tuple[type[Exception], ...]
    ) -> None:
        self._write = write
        self._unavailable = unavailable
        self._seen: dict[int, float] = {}

    def note(self, key_id: int) -> None:
        self._seen[key_id] = time.time()

    async def flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Fails open: what could not be written is written with the next use."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            await asyncio.to_thread(self._write, list(seen.items()))
        except self._unavailable as error:
            logger.warning("could not write when keys were last used: %s", error)
