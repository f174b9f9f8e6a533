"""What this node tells the console of itself: the latest value under each name. Connections send what has changed."""

from __future__ import annotations

import asyncio
from typing import Any


class Board:
    def __init__(self) -> None:
        self._values: dict[str, tuple[int, Any]] = {}
        self._version = 0
        self._changed = asyncio.Event()

    def put(self, name: str, value: Any) -> None:
        """Does nothing if the same was said before."""
        known = self._values.get(name)
        if known is not None and known[1] == value:
            return
        self._version += 1
        self._values[name] = (self._version, value)
        self._changed.set()
        self._changed = asyncio.Event()

    def get(self, name: str) -> Any:
        known = self._values.get(name)
        return None if known is None else known[1]

    async def news(self, seen: int) -> tuple[int, dict[str, Any]]:
        """Waits for what has changed since a version (0: everything). Returns the version reached, and the news."""
        while self._version <= seen:
            await self._changed.wait()
        return self._version, {name: value for name, (version, value) in self._values.items() if version > seen}
