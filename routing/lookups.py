"""Which organisation a key belongs to that memory does not hold: many asked in one query, one query at a time.

Whoever sends random keys makes the gateway ask. All that is asked while a query runs goes into the next one, so that
a good key that is new waits for two queries at most, however many bad ones come with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

from common.errors import TemporarilyUnavailable

MOST_AT_ONCE = 2000
UNKNOWN_S = 5.0
MOST_UNKNOWN = 10_000

Find = Callable[[Collection[str]], Awaitable[Mapping[str, int]]]


class _Batch:
    """Keys that one query is to find; `found` gives the organisations of those that exist."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.found: asyncio.Task[Mapping[str, int]]


class KeyLookups:
    """Of one process. `find` asks PostgreSQL for the organisations of public ids; what it raises is given on."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._gathering: _Batch | None = None
        self._one_at_a_time = asyncio.Lock()
        self._unknown: dict[str, float] = {}

    async def org_of(self, public_id: str) -> int | None:
        """None for a key that does not exist, or did not a moment ago.

        Raises:
            TemporarilyUnavailable: more keys are being asked for than one query may hold.
        """
        if self._unknown.get(public_id, 0.0) > time.monotonic():
            return None
        batch = self._gathering or self._begin()
        if len(batch.ids) >= MOST_AT_ONCE and public_id not in batch.ids:
            raise TemporarilyUnavailable("Too many unknown keys are being looked up.", retry_after_s=1)
        batch.ids.add(public_id)
        # Who leaves must not take the answer away from the others.
        return (await asyncio.shield(batch.found)).get(public_id)

    def note_unknown(self, public_id: str) -> None:
        """For a while nobody asks for this key again; the oldest notes make room for new ones."""
        self._unknown.pop(public_id, None)
        if len(self._unknown) >= MOST_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[public_id] = time.monotonic() + UNKNOWN_S

    def forget_unknown(self) -> None:
        """Something changed: any of them may exist now."""
        self._unknown = {}

    def _begin(self) -> _Batch:
        self._gathering = batch = _Batch()
        batch.found = asyncio.create_task(self._look_up(batch))
        return batch

    async def _look_up(self, batch: _Batch) -> Mapping[str, int]:
        async with self._one_at_a_time:
            self._gathering, before = None, self._unknown
            found = await self._find(batch.ids)
        if self._unknown is before:  # else what was not found may have been made since
            for public_id in batch.ids - found.keys():
                self.note_unknown(public_id)
        return found
