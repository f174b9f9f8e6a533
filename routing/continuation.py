"""A stream that broke off in the middle of its answer goes on at another target, where its route says that it may.

    A: "The sea is" ✕   →   B is asked the same, with "The sea is" as what the assistant has said   →   " deep."

Only a text goes on: not a call of a tool, not reasoning, not several choices, not a form that the caller prescribed.
The caller sees one answer; each target is billed its part.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from common.errors import ShareAIError
from providers.adapters.base import StreamDecoder, TokenUsage
from providers.adapters.spliced import SplicedDecoder, head_of, spliced
from providers.failures import UpstreamFailure
from providers.prefill import can_go_on, continued, may_be_continued
from providers.schema import Call
from providers.targets import GUEST
from routing.asked import Asked
from routing.failover import Attempt, Failover, OpenedStream, RejectedUpstream
from routing.plans import Plan
from routing.settlement import Settlement

Replan = Callable[[Call], Plan]
Cover = Callable[[Call, Plan, Settlement], Awaitable[tuple[Call, Plan]]]
"""As `Spending.cover`, for the caller and the budgets of the request."""


def continuation_of(
    asked: Asked, failover: Failover, replan: Replan, cover: Cover, first: bytes
) -> Continuation | None:
    """None for a stream that ends where it breaks off."""
    if not asked.plan.continues or not may_be_continued(asked.call):
        return None
    return Continuation(asked, failover, replan, cover, head_of(first))


class Continuation:
    """Of one stream. Attributes: call: what the target that speaks now was asked; head: what all events share."""

    def __init__(self, asked: Asked, failover: Failover, replan: Replan, cover: Cover, head: dict[str, Any]) -> None:
        self.call = asked.call
        self.head = head
        self._asked = asked
        self._failover = failover
        self._replan = replan
        self._cover = cover

    async def go_on(self, attempt: Attempt, decoder: StreamDecoder, failure: UpstreamFailure) -> OpenedStream | None:
        """The same answer at its next target, whose part of the bill has begun; None when nobody goes on with it.

        Args:
            attempt, decoder: of the part that broke off, already in the trail.
        """
        asked, settlement = self._asked, self._asked.settlement
        said = decoder.plain_text()
        if not said:
            return None
        asked.flight.waiting_since = None
        usage = await self._used(attempt, decoder, said)
        call = continued(self.call, said, usage.output_tokens)
        plan = self._next(call) if call is not None else None
        if call is None or plan is None:
            return None
        aside = settlement.beside()
        try:
            opened = await self._open(call, plan, aside, failure)
            if opened is not None:
                settlement.go_on(self.call, attempt, usage, aside.holding, aside.bound)
                aside.holding = None
        finally:
            if aside.holding is not None:
                aside.holding.close(0, 0, "")
        return opened

    async def _used(self, attempt: Attempt, decoder: StreamDecoder, said: str) -> TokenUsage:
        """Of the part that broke off."""
        if decoder.usage is None or attempt.target.place == GUEST:
            return await self._asked.settlement.count(said)
        return decoder.usage

    async def _open(self, call: Call, plan: Plan, aside: Settlement, failure: UpstreamFailure) -> OpenedStream | None:
        """Its prompt is paid for again, so money is held for it again, by `aside`: without it nobody is asked."""
        asked = self._asked
        try:
            call, plan = await self._cover(call, plan, aside)
            if not _fits(asked.settlement, aside):
                return None
            opened = await self._failover.run(call, plan, asked.trail, asked.flight, asked.enter, after=failure)
        except (RejectedUpstream, ShareAIError):
            return None
        assert isinstance(opened, OpenedStream)
        self.call = call
        first, decoder = spliced(opened.first, self.head), SplicedDecoder(opened.decoder, self.head)
        return OpenedStream(opened.attempt, opened.response, decoder, first)

    def _next(self, call: Call) -> Plan | None:
        """Who may go on, as things are now: of those that can, each that was not tried."""
        try:
            plan = self._replan(call)
        except ShareAIError:
            return None
        tried = {attempt.target_id for attempt in self._asked.trail.attempts}
        able = [one for one in plan.candidates if can_go_on(one.target) and one.target.id not in tried]
        left = self._asked.plan.most_attempts - len(tried)
        if not able or left < 1:
            return None
        return msgspec.structs.replace(plan, candidates=tuple(able), most_attempts=left)


def _fits(settlement: Settlement, aside: Settlement) -> bool:
    """A request is charged to the leases of one lessee; the treasury may have begun again as another since."""
    first, second = settlement.holding, aside.holding
    return first is None or second is None or second.lessee == first.lessee
