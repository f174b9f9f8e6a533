"""Requests in flight: one sweep, four times a second, watches all of them instead of a timer for each.

A flight ends early for five reasons: its caller left, its caller stopped reading, its upstream fell silent in the
middle of a stream, its time is up, or its key was revoked. The sweep finds each and cancels the task that serves
it; the task's own `finally` lets go of the upstream and settles. Watching by sweep costs nothing for requests
that end within a quarter of a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from time import monotonic
from typing import Any, Protocol

from common.asgi import Receive
from common.errors import Draining, KeyRevoked, ShareAIError, UpstreamTimeout

SWEEP_S = 0.25
RECORD_S = 2.0
CHECKPOINT_S = 5.0
MOST_CHECKPOINTS = 32
"""In one sweep: each takes up to a millisecond of the loop, and the next sweep is near."""

Headers = list[tuple[bytes, bytes]]

WRITER = "shareai.writer"
"""An extension of the ASGI scope: the `Writer` of the request."""

LEFT, STALLED, TIME_UP, IDLE, REVOKED = "client_left", "client_stalled", "time_up", "upstream_idle", "key_revoked"

logger = logging.getLogger(__name__)


class Writer(Protocol):
    """A server's way round ASGI's `send`. What gets False from it is sent the long way."""

    def chunks(self) -> Callable[[bytes], bool]:
        """What writes one chunk of a stream at once."""

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Writes a whole answer; `headers` hold its length."""


class LongSource(Protocol):
    """What the sweep tells the source of a stream."""

    def checkpoint(self) -> None: ...

    def fell_silent(self) -> bool: ...


class Flight:
    """One request being served. Times are monotonic, in seconds; the loop's own clock ticks in milliseconds only."""

    __slots__ = (
        "attempt_by",
        "attempt_is_late",
        "checked_at",
        "deadline",
        "ended_by",
        "idle_s",
        "key_id",
        "receive",
        "sending_since",
        "source",
        "started",
        "task",
        "waiting_since",
        "watch",
        "write_chunk",
        "writer",
    )

    def __init__(self, task: asyncio.Task[Any], receive: Receive, started: float) -> None:
        self.task = task
        self.receive = receive
        self.started = started
        self.deadline: float | None = None
        self.attempt_by: float | None = None
        self.attempt_is_late = False
        self.checked_at = started
        self.source: LongSource | None = None
        self.sending_since: float | None = None
        self.waiting_since: float | None = None
        self.idle_s = 60.0
        self.key_id: str | None = None
        self.watch: asyncio.Task[None] | None = None
        self.ended_by: str | None = None
        self.writer: Writer | None = None
        self.write_chunk: Callable[[bytes], bool] | None = None
        """Before the writer's own, where chunks go elsewhere than to one caller."""

    def fail_attempt(self) -> None:
        """The first byte is late: cancels the task once, for the failover loop to take up as that attempt's end."""
        self.attempt_by = None
        self.attempt_is_late = True
        self.task.cancel()

    def take_late_attempt(self) -> bool:
        """Whether a cancellation just caught was that of a late attempt; if so, the task goes on."""
        if not self.attempt_is_late or self.ended_by is not None:
            return False
        self.attempt_is_late = False
        self.task.uncancel()
        return True

    def end(self, reason: str) -> None:
        """Cancels the task that serves; the first reason stays."""
        if self.ended_by is None:
            self.ended_by = reason
            self.task.cancel()


def refusal_of_ended(flight: Flight) -> ShareAIError:
    """For a cancelled flight whose caller is still there: un-cancels the task and says what to tell.

    Raises:
        CancelledError: again, when nobody is there to be told.
    """
    if flight.ended_by not in _REFUSALS:
        raise asyncio.CancelledError
    flight.task.uncancel()
    return _REFUSALS[flight.ended_by]()


_REFUSALS: dict[str | None, Callable[[], ShareAIError]] = {
    None: Draining,  # nobody here ended it: the server stops
    TIME_UP: UpstreamTimeout,
    IDLE: UpstreamTimeout,
    REVOKED: KeyRevoked,
}


def record_of_ended(flight: Flight) -> tuple[int, str]:
    """The status and the error code under which a cancelled flight is recorded: what its caller hears, if any."""
    if flight.ended_by in _UNHEARD:
        return UNHEARD_STATUS, _UNHEARD[flight.ended_by]
    refusal = _REFUSALS[flight.ended_by]()
    return refusal.status, refusal.code


UNHEARD_STATUS = 499
_UNHEARD: dict[str | None, str] = {LEFT: "client_closed_request", STALLED: "client_stalled"}


class Flights:
    """All flights of this process.

    Args:
        is_revoked: whether a key's public id has lost its authority.
        write_stall_s: how long a caller may leave unread what was sent.
        checkpoint_s: how often a stream notes what it has used.
    """

    def __init__(
        self,
        is_revoked: Callable[[str], bool] = lambda key_id: False,
        write_stall_s: float = 60.0,
        checkpoint_s: float = CHECKPOINT_S,
    ) -> None:
        self._flights: set[Flight] = set()
        self._is_revoked = is_revoked
        self._write_stall_s = write_stall_s
        self._checkpoint_s = checkpoint_s
        self._sweeper: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._flights)

    def enter(self, receive: Receive) -> Flight:
        task = asyncio.current_task(self._loop)
        assert task is not None
        flight = Flight(task, receive, monotonic())
        self._flights.add(flight)
        return flight

    def leave(self, flight: Flight) -> None:
        """The flight forgets what knows it: else each would wait for the garbage collector, which looks at all."""
        self._flights.discard(flight)
        if flight.watch is not None:
            flight.watch.cancel()
        flight.source = flight.watch = flight.write_chunk = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()  # to look for it costs a system call each time
        self._sweeper = asyncio.create_task(self._sweep_for_ever())

    async def aclose(self, drain_s: float) -> None:
        """Waits for what is in flight, at most `drain_s`, then cancels the rest and waits until that is recorded."""
        await self._wait_until_none(drain_s)
        for flight in list(self._flights):
            flight.task.cancel()
        await self._wait_until_none(RECORD_S)
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _wait_until_none(self, within_s: float) -> None:
        until = monotonic() + within_s
        while self._flights and monotonic() < until:  # noqa: ASYNC110  at the end of a process only
            await asyncio.sleep(0.05)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep(monotonic())

    def sweep(self, now: float) -> None:
        checkpoints = 0
        for flight in list(self._flights):
            if flight.source is not None and now - flight.checked_at > self._checkpoint_s:
                checkpoints += 1
                if checkpoints <= MOST_CHECKPOINTS:
                    flight.checked_at = now
                    flight.source.checkpoint()
            if flight.deadline is not None and now > flight.deadline:
                flight.end(TIME_UP)
            elif flight.attempt_by is not None and now > flight.attempt_by:
                flight.fail_attempt()
            elif flight.sending_since is not None and now - flight.sending_since > self._write_stall_s:
                flight.end(STALLED)
            elif flight.waiting_since is not None and now - flight.waiting_since > flight.idle_s:
                if flight.source is None or not flight.source.fell_silent():
                    flight.end(IDLE)
            elif flight.key_id is not None and self._is_revoked(flight.key_id):
                flight.end(REVOKED)
            elif flight.watch is None and flight.key_id is not None:
                flight.watch = asyncio.create_task(_watch(flight))


async def nobody_there() -> MutableMapping[str, Any]:
    """The `receive` of a flight without a connection of its own; without a `key_id` nobody watches it."""
    raise AssertionError("nothing can come")


async def _watch(flight: Flight) -> None:
    """Ends the flight when its caller leaves. Only after the body was read, so nothing else can arrive."""
    while (await flight.receive())["type"] != "http.disconnect":
        pass
    flight.end(LEFT)
