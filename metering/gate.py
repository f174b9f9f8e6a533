"""The gate of one process: asks Redis whether requests may come, all that wait in one script call.

    admit → [what one tick of the loop collects] → one EVALSHA at a time → verdicts
                     Redis away → shares.Shares, by this process alone → told to Redis when it is back

Releases and corrections need no answer and go along with the next call, or soon after by themselves. A process says
about once a second that it is alive; the slots of one that no longer does are free again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import resources
from time import monotonic
from typing import Any

import msgspec

from common.redisline import RedisLine, RedisRefused, command_of, open_line
from metering.bounds import Bound
from metering.shares import Charge, Place, Shares, Verdict

LEASE_S = 6.0
ANSWER_S = 1.0
RETRY_S = 1.0
CONNECT_S = 3.0
TELL_S = 0.005
"""For so long a release or a correction waits for a request that takes it along."""
FEWER_AFTER_S = 10.0
"""Processes that were seen count for so long: after a restart of Redis they come back one by one."""
MOST_OPERATIONS = 200
"""Per script call, so that nobody else waits long for Redis."""

PROCESSES = b"shareai:limit:processes"
LIFE = b"shareai:limit:life"
"""Another value than before says that Redis has lost what it held."""
_ADMIT, _CORRECT, _RELEASE, _MISSED, _HOLD = 1, 2, 3, 4, 5
_AWAY = (OSError, TimeoutError, RedisRefused, msgspec.DecodeError)
_pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode

SCRIPT = resources.files("metering").joinpath("limits.lua").read_bytes()
SCRIPT_SHA = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()

logger = logging.getLogger(__name__)


class _Asked(msgspec.Struct, gc=False, eq=False):
    """A request that waits for its verdict."""

    charges: Sequence[Charge]
    verdict: asyncio.Future[Verdict]


class Gate:
    """`start` inside the running loop.

    Args:
        least_processes: among how many a limit is divided while Redis is away, unless more have been seen.
        lease_s: after so long without a sign of life a process holds no slots any more.
        count_here: how many processes of this host live, whatever Redis knows of them.
        rank_here: this process's place among them, the oldest being 0; None if nobody knows.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        least_processes: int = 1,
        lease_s: float = LEASE_S,
        count_here: Callable[[], int] = lambda: 1,
        rank_here: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._url = redis_url
        self._lease_s = lease_s
        self._configured = max(1, least_processes)
        self._count_here, self._rank_here = count_here, rank_here
        self._here, self._rank = count_here(), rank_here()
        self._least_processes = self._processes = max(self._configured, self._here)
        self._process = secrets.token_hex(6)
        self._processes_seen_at = monotonic()
        self._shares = Shares()
        self._asked: list[_Asked] = []
        self._told: list[tuple[Any, ...]] = []
        self._line: RedisLine | None = None
        self._life = b""
        self._under_way: tuple[list[_Asked], list[tuple[Any, ...]]] | None = None
        self._asked_at = 0.0
        self._is_calling = False
        self._beating: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_connected(self) -> bool:
        return self._line is not None and self._line.is_open

    @property
    def processes(self) -> int:
        """How many share the limits, as far as this one knows."""
        return self._processes

    def start(self) -> None:
        self._beating = asyncio.get_running_loop().create_task(self._beat_for_ever())

    async def aclose(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        while self._under_way is not None:  # noqa: ASYNC110  at the end of a process only
            await asyncio.sleep(TELL_S)
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
        line, self._line = self._line, None
        if line is not None and line.is_open:
            with suppress(*_AWAY):
                async with asyncio.timeout(ANSWER_S):
                    await line.ask(*self._script_call([], self._told))
                    await line.ask(b"ZREM", PROCESSES, self._process.encode())
        if line is not None:
            line.close()

    async def admit(self, charges: Sequence[Charge]) -> Verdict:
        """Takes what the request needs of every bound, or nothing of any.

        Fails: to this process's own share of each limit, when Redis cannot be asked.
        """
        if not self.is_connected:
            return self._decide_alone(charges)
        asked = _Asked(charges, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        self._call_soon()
        try:
            return await asked.verdict
        except asyncio.CancelledError:
            self._take_back(asked)
            raise

    def correct(self, bound: Bound, units: int) -> None:
        """So many more (or fewer) units were used of a bound than `admit` took."""
        if units and self.is_connected:
            self._tell((_CORRECT, bound.bucket, units * bound.unit_us))
        elif units:
            self._shares.correct(bound, units, self._place(), _now_us())

    def release(self, bound: Bound) -> None:
        """Gives a slot back."""
        self._shares.release(bound)
        if self.is_connected:
            self._tell((_RELEASE, bound.bucket))

    def _take_back(self, asked: _Asked) -> None:
        """For a caller who left while waiting: what was, or will be, taken for it is given back."""
        if asked in self._asked:
            self._asked.remove(asked)
        elif asked.verdict.done() and not asked.verdict.cancelled():
            self._undo(asked.charges, asked.verdict.result())

    def _undo(self, charges: Sequence[Charge], verdict: Verdict) -> None:
        if verdict.binding >= 0:
            return
        for bound, units in charges:
            if bound.window_us:
                self.correct(bound, -units)
            else:
                self.release(bound)

    def _decide_alone(self, charges: Sequence[Charge]) -> Verdict:
        return self._shares.admit(charges, self._place(), _now_us())

    def _place(self) -> Place:
        """Its rank is known only where all processes are on this host."""
        if self._line is not None:
            self._lose(ConnectionError("Redis went away"))  # while nothing was asked, so that nobody has said so yet
        return Place(self._processes, self._rank if self._here == self._processes else None)

    def _tell(self, operation: tuple[Any, ...]) -> None:
        self._told.append(operation)
        if self._timer is None and not self._is_calling:
            self._timer = asyncio.get_running_loop().call_later(TELL_S, self._tell_now)

    def _tell_now(self) -> None:
        self._timer = None
        if self._told:
            self._call_soon()

    def _call_soon(self) -> None:
        if not self._is_calling:
            self._is_calling = True
            asyncio.get_running_loop().call_soon(self._call)

    def _call(self) -> None:
        """What is told goes along; what comes while this call is under way waits for the next one."""
        line = self._line
        if line is None or not line.is_open:
            self._is_calling = False
            self._answer_alone()
            return
        asked, self._asked = self._asked[:MOST_OPERATIONS], self._asked[MOST_OPERATIONS:]
        told, self._told = self._told, []
        self._under_way = asked, told
        self._asked_at = monotonic()
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(ANSWER_S, self._look_at_answer)
        line.send(command_of(*self._script_call(asked, told)), self._hear)

    def _look_at_answer(self) -> None:
        """One timer for all calls, for each of them is over long before it is due."""
        self._watch = None
        if self._under_way is None:
            return
        left_s = self._asked_at + ANSWER_S - monotonic()
        if left_s <= 0:
            self._hear(TimeoutError(f"no answer within {ANSWER_S:g} s"))
        else:
            self._watch = asyncio.get_running_loop().call_later(left_s, self._look_at_answer)

    def _hear(self, found: bytes | Exception) -> None:
        if self._under_way is None:
            return
        (asked, told), self._under_way, self._is_calling = self._under_way, None, False
        try:
            alive, *verdicts = _answer_in(found)
        except _AWAY as error:
            self._lose(error)
            self._asked, self._told = asked + self._asked, told + self._told
            self._answer_alone()
            return
        self._note_processes(alive)
        now_us = _now_us()
        for one, (binding, wait, *states) in zip(asked, verdicts, strict=True):
            verdict = Verdict(binding - 1, wait, states)
            self._shares.hear(one.charges, verdict, now_us)
            if one.verdict.cancelled():
                self._undo(one.charges, verdict)
            else:
                one.verdict.set_result(verdict)
        if self._asked:
            self._call_soon()
        elif self._told:
            self._tell(self._told.pop())

    def _script_call(self, asked: Sequence[_Asked], told: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """What an operation names by its bucket is sent by the bucket's place among the keys."""
        places: dict[str, int] = {}
        operations = [_placed(operation, places) for operation in told]
        operations += [(_ADMIT, *_checks(one.charges, places)) for one in asked]
        batch = _pack((0, self._process, self._lease_s * 1e6, operations))
        return [b"EVALSHA", SCRIPT_SHA, b"%d" % (len(places) + 1), PROCESSES, *map(str.encode, places), batch]

    def _note_processes(self, alive: int) -> None:
        alive, now = max(self._least_processes, alive), monotonic()
        if alive >= self._processes or now - self._processes_seen_at > FEWER_AFTER_S:
            self._processes, self._processes_seen_at = alive, now

    def _answer_alone(self) -> None:
        """Redis is away: who waits is answered by the share; what would be told is told by what is remembered."""
        asked, self._asked = self._asked, []
        told, self._told = self._told, []
        for kind, bucket, *figures in told:
            if kind in (_CORRECT, _MISSED):
                self._shares.owe(bucket, figures[0])
        for one in asked:
            if not one.verdict.cancelled():
                one.verdict.set_result(self._decide_alone(one.charges))

    def _lose(self, error: BaseException) -> None:
        self._look_around()
        logger.warning("limits are kept by this process alone, a %d. part of each: %s", self._processes, error)
        if self._line is not None:
            self._line.close()
            self._line = None

    async def _beat_for_ever(self) -> None:
        """Keeps the line, or finds a new one; says that this process lives."""
        while True:
            self._look_around()
            if self.is_connected:
                self._beat()
            else:
                await self._connect()
            await asyncio.sleep(min(RETRY_S, self._lease_s / 4))

    def _look_around(self) -> None:
        self._here, self._rank = self._count_here(), self._rank_here()
        self._least_processes = max(self._configured, self._here)
        self._processes = max(self._processes, self._least_processes)

    def _beat(self) -> None:
        self._shares.forget_what_passed(_now_us())
        self._call_soon()

    async def _connect(self) -> None:
        """Redis hears first what it missed: what was charged meanwhile, and the slots that are held."""
        try:
            async with asyncio.timeout(CONNECT_S):
                line, life = await self._greeted()
        except _AWAY as error:
            logger.info("limits: Redis cannot be reached: %s", error)
            return
        missed = self._shares.take_what_redis_missed(_now_us(), is_new=life != self._life)
        self._life = life
        slots = self._shares.open_slots.items()
        self._told = [*((_MISSED, *entry) for entry in missed), *((_HOLD, *entry) for entry in slots)]
        self._line = line
        self._call_soon()

    async def _greeted(self) -> tuple[RedisLine, bytes]:
        """A line whose other end knows the script, and the life that it is in."""
        line = await open_line(self._url)
        try:
            await line.ask(b"SCRIPT", b"LOAD", SCRIPT)
            await line.ask(b"SET", LIFE, secrets.token_bytes(8), b"NX")
            return line, await line.ask(b"GET", LIFE)
        except BaseException:
            line.close()
            raise


def _answer_in(found: bytes | Exception) -> list[Any]:
    if isinstance(found, Exception):
        raise found
    answer: list[Any] = _unpack(found)
    return answer


def _checks(charges: Sequence[Charge], places: dict[str, int]) -> list[tuple[int, float, float]]:
    checks: list[tuple[int, float, float]] = []
    for bound, units in charges:
        place = places.get(bound.bucket)
        if place is None:
            place = places[bound.bucket] = len(places) + 2
        if bound.window_us:
            checks.append((place, bound.unit_us * units, bound.window_us))
        else:
            checks.append((place, -1, bound.limit))
    return checks


def _placed(operation: tuple[Any, ...], places: dict[str, int]) -> tuple[Any, ...]:
    def place(bucket: str) -> int:
        return places.setdefault(bucket, len(places) + 2)

    kind, *rest = operation
    if kind == _MISSED:
        bucket, owed_us, ahead_us = rest
        return kind, place(bucket), owed_us, ahead_us, place(f"{bucket}:known")
    return kind, place(rest[0]), *rest[1:]


def _now_us() -> float:
    return monotonic() * 1e6
