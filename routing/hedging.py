"""A second target is asked when the first is slow to begin: who begins first answers, the other one is let go.

    A ────────────────────── … ✕ let go
          after a while  B ─────► first content: B answers

Opt-in per route and bounded: only so many of a hundred streams are hedged, none whose prompt would cost more than the
route allows at either target (for either may lose), none without room in the budget for retries, and no machine gets
one beyond its free slots. Only targets that the organisation pays itself, or that cost nothing, may lose. What that
cost is told in the request's attempts and is not in what the caller pays.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from time import monotonic
from typing import Any

import msgspec

from common.errors import ShareAIError
from metering.tokens import count_tokens
from metering.usage import HEDGE_LOST
from nodes.fleet import Fleet
from providers.adapters.base import COUNTED, TokenUsage
from providers.failures import Kind
from providers.targets import Target
from routing.asked import Asked
from routing.counting import prompt_tokens
from routing.failover import Answered, Enter, Failover, OpenedStream, RejectedUpstream, RetryBudget
from routing.flights import Flights
from routing.health import Health
from routing.parts import part_of, part_of_target
from routing.plans import Candidate, Hedge
from routing.upper_bounds import Size, cost_bound

LEAST_SAMPLES = 20
_MOST_CREDIT = 1_000
_ONE = 100

Result = Answered | OpenedStream
_Lane = asyncio.Task[Result]


class Hedger:
    """One per process, which keeps its own count of every route: what holds for each process holds for all."""

    def __init__(
        self, failover: Failover, health: Health, fleet: Fleet, budget: RetryBudget, flights: Flights
    ) -> None:
        self._failover = failover
        self._health = health
        self._fleet = fleet
        self._budget = budget
        self._flights = flights
        self._credit: dict[tuple[int, str], int] = {}

    async def run(self, asked: Asked, hedge: Hedge) -> Result:
        """As `Failover.run`, with a second target beside the first where the first is late."""
        route = asked.settlement.caller.org_id, asked.plan.route
        self._credit[route] = min(self._credit.get(route, 0) + hedge.most_percent, _MOST_CREDIT)
        after_s = self._after_s(hedge, asked.plan.candidates[0].target)
        if after_s is None or len(asked.plan.candidates) < 2:
            return await self._failover.run(asked.call, asked.plan, asked.trail, asked.flight, asked.enter)
        race = _Race(asked, self._failover, self._flights)
        try:
            if not await race.is_late(after_s):
                return await race.result()
            candidate = await self._second(race, hedge, route)
            if candidate is None:
                return await race.result()
            try:
                race.start_second(candidate)
                return await race.result()
            finally:
                self._budget.give_back()
        finally:
            await race.end()

    def _after_s(self, hedge: Hedge, first: Target) -> float | None:
        """None while too little is known of the first target."""
        if hedge.after_s is not None:
            return hedge.after_s
        speed = self._health.speed(first.id)
        if speed.first_tokens is None:
            speed.first_tokens = deque(maxlen=_ONE)
        known = sorted(speed.first_tokens)
        return known[int(0.95 * len(known))] if len(known) >= LEAST_SAMPLES else None

    async def _second(self, race: _Race, hedge: Hedge, route: tuple[int, str]) -> Candidate | None:
        """Whom to ask besides, taken from those who are left; the budget for retries then has it."""
        if self._credit[route] < _ONE or not race.may_try_another:
            return None
        asked, now = race.asked, monotonic()
        if not all(_may_lose(hedge, asked, target) for target in race.begun):
            return None
        for candidate in list(race.left):
            if not self._may_be_asked(asked, candidate, hedge, now) or not self._budget.take():
                continue
            if await _enters(race.asked.enter, candidate.target) and candidate in race.left:
                race.left.remove(candidate)
                self._credit[route] -= _ONE
                return candidate
            self._budget.give_back()
        return None

    def _may_be_asked(self, asked: Asked, candidate: Candidate, hedge: Hedge, now: float) -> bool:
        target = candidate.target
        if candidate.after is not None and Kind.FIRST_BYTE_TIMEOUT not in candidate.after:
            return False
        if not _may_lose(hedge, asked, target):
            return False
        if target.node:
            load = self._fleet.load(target, self._health.speed(target.id).in_flight, now)
            if load.queue or load.in_flight >= load.slots:
                return False
        keys = (key.id if key else 0 for key in candidate.credentials)
        return any(self._health.skipped_until(target.id, key, now) is None for key in keys)


class _Race:
    """Of one request. `left` are the candidates that nobody has tried, for whichever lane needs its next one."""

    def __init__(self, asked: Asked, failover: Failover, flights: Flights) -> None:
        self.asked = asked
        self.left = deque(asked.plan.candidates)
        self._failover = failover
        self._flights = flights
        self._began = monotonic()
        self._before_s = asked.trail.upstream_s
        self._prompt: asyncio.Future[int] | None = None
        self._lanes: list[_Lane] = [self._lane(self._taking())]
        self._winner: _Lane | None = None

    @property
    def begun(self) -> list[Target]:
        """Those that were asked, or are being asked."""
        return [one.target for one in self.asked.plan.candidates if one not in self.left]

    @property
    def may_try_another(self) -> bool:
        """Within the plan's attempts: those that failed, and the one of the other lane."""
        failed = {attempt.target_id for attempt in self.asked.trail.attempts}
        under_way = sum(not lane.done() for lane in self._lanes) - 1
        return len(failed) + max(under_way, 0) < self.asked.plan.most_attempts

    async def is_late(self, after_s: float) -> bool:
        await asyncio.wait(self._lanes, timeout=after_s)
        return not self._lanes[0].done()

    def start_second(self, candidate: Candidate) -> None:
        loop = asyncio.get_running_loop()
        self._prompt = loop.run_in_executor(None, prompt_tokens, self.asked.call)
        self._lanes.append(self._lane(self._taking(candidate)))

    async def result(self) -> Result:
        """Of the first lane that answers; the failure of the last one when none does."""
        waiting = set(self._lanes)
        while True:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for lane in self._lanes:
                if lane in done and (lane.exception() is None or isinstance(lane.exception(), RejectedUpstream)):
                    self._winner = lane
                    return lane.result()
            if not waiting:
                return done.pop().result()

    async def end(self) -> None:
        """Lets go of whoever has not won, and notes what that cost."""
        losers = [lane for lane in self._lanes if lane is not self._winner]
        for lane in losers:
            lane.cancel()
        if losers:
            await asyncio.wait(losers)
        trail = self.asked.trail
        trail.upstream_s = self._before_s + monotonic() - self._began
        if self._prompt is not None and self._winner is not None:
            for lane in losers:
                await self._note_loser(lane)

    async def _note_loser(self, lane: _Lane) -> None:
        assert self._prompt is not None
        input_tokens = await self._prompt
        trail = self.asked.trail
        if lane.cancelled():
            cancelled = [at for at, attempt in enumerate(trail.attempts) if attempt.outcome == "cancelled"]
            if not cancelled:
                return  # it was between two attempts
            at = cancelled[-1]
            candidates = {one.target.id: one.target for one in self.asked.plan.candidates}
            target = candidates[trail.attempts[at].target_id]
            used = part_of_target(target, TokenUsage(input_tokens, 0, 0, COUNTED), charged=False)
            trail.attempts[at] = msgspec.structs.replace(trail.attempts[at], outcome=HEDGE_LOST, used=used)
            return
        with suppress(ShareAIError):
            opened = lane.result()  # it had begun in the very same moment
            assert isinstance(opened, OpenedStream)
            opened.response.close()
            opened.attempt.close()
            usage = TokenUsage(input_tokens, count_tokens(opened.decoder.delivered_text()), 0, COUNTED)
            trail.note(opened.attempt, HEDGE_LOST, monotonic(), 200)
            trail.tell_used(opened.attempt, part_of(opened.attempt, usage, charged=False))

    def _taking(self, first: Candidate | None = None) -> Iterator[Candidate]:
        if first is not None:
            yield first
        while self.left and self.may_try_another:
            yield self.left.popleft()

    def _lane(self, candidates: Iterator[Candidate]) -> _Lane:
        return asyncio.get_running_loop().create_task(self._run(candidates))

    async def _run(self, candidates: Iterator[Candidate]) -> Result:
        """A flight of its own, so that the sweep ends the attempt that is late and not the other one's."""
        asked = self.asked
        flight = self._flights.enter(_nothing_comes)
        try:
            return await self._failover.run(
                asked.call, asked.plan, asked.trail, flight, asked.enter, candidates=candidates
            )
        finally:
            self._flights.leave(flight)


def _may_lose(hedge: Hedge, asked: Asked, target: Target) -> bool:
    """No tokenizer makes more tokens than there are bytes. What others are paid for is not theirs to lose: the caller
    does not pay for it, so somebody else would."""
    most_nanos = cost_bound(Size(asked.call.prompt_bytes, 0), target)
    is_own = target.org_id == asked.settlement.caller.org_id
    return most_nanos == 0 or (is_own and most_nanos <= hedge.most_extra_nanos)


async def _enters(enter: Enter | None, target: Target) -> bool:
    return enter is None or await enter(target)


async def _nothing_comes() -> MutableMapping[str, Any]:
    raise AssertionError("a lane has no connection that anything could come from")
