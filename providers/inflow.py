"""What every transport does with a body that arrives: keep it until it is asked for, or hand it straight on.

    wire ──receive──▶ Inflow ──next_chunk / read──▶ a task that waits
                           └──follow──▶ a follower, in the same step of the loop

A transport calls `receive`, then `end` once; it says in three hooks how its wire is held back and stopped.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod

from providers.failures import Kind, UpstreamFailure
from providers.transport import Follower, UpstreamResponse

MOST_HELD_BYTES = 256 * 1024
"""A body that nobody takes is held back beyond this."""


class Inflow(UpstreamResponse):
    __slots__ = ("_failure", "_follower", "_held", "_held_bytes", "_over", "_paused", "_reader")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._over = False
        self._failure: UpstreamFailure | None = None
        self._reader: asyncio.Future[None] | None = None
        self._follower: Follower | None = None
        self._paused = False

    @abstractmethod
    def _hold_back(self) -> None:
        """Stops reading from the wire until `_let_flow`."""

    @abstractmethod
    def _let_flow(self) -> None: ...

    def receive(self, data: bytes) -> None:
        """The next bytes of the body, never empty."""
        if self._over:
            return
        if self._follower is not None:
            self._follower.data(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MOST_HELD_BYTES:
            self.pause()
        self._wake()

    def end(self, failure: UpstreamFailure | None = None) -> None:
        """The body is whole, or was lost as `failure` says. Only the first end counts."""
        if self._over:
            return
        self._over, self._failure = True, failure
        if self._follower is not None:
            self._follower.ended(failure)
        self._wake()

    @property
    def is_over(self) -> bool:
        return self._over

    async def read(self, limit_bytes: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while chunk := await self.next_chunk():
            size += len(chunk)
            if size > limit_bytes:
                raise UpstreamFailure(Kind.TOO_LARGE, f"more than {limit_bytes} bytes")
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def next_chunk(self) -> bytes:
        while not self._held:
            if self._failure is not None:
                raise self._failure
            if self._over:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._take()

    def _take(self) -> bytes:
        held, self._held, self._held_bytes = self._held, [], 0
        self.resume()
        return held[0] if len(held) == 1 else b"".join(held)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def follow(self, follower: Follower) -> None:
        while self._held:  # taking lets more flow, which may be here at once
            follower.data(self._take())
        self._follower = follower
        if self._over:
            follower.ended(self._failure)

    def pause(self) -> None:
        if not self._paused and not self._over:
            self._paused = True
            self._hold_back()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._over:
                self._let_flow()

    def detach(self) -> None:
        """Whatever still arrives is nobody's."""
        self._follower = None
        self._held, self._held_bytes = [], 0
        self._over = True
