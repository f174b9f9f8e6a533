"""The data plane's main line: an authenticated call comes in, a reply goes out, the end is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from accounts.authentication import Caller
from common.errors import ModelNotAllowed, ShareAIError, TemporarilyUnavailable
from metering.usage import HIT
from nodes.recount import Recount, Recounts, text_of
from providers.adapters.base import Completion, TokenUsage
from providers.endpoints import TELLS_USAGE
from providers.schema import Call, dropped_of
from providers.targets import GUEST
from routing.admission import Admission
from routing.asked import Asked, Spared
from routing.cache import Cache
from routing.cache_keys import wanted
from routing.checkpoints import Note, nothing_noted
from routing.continuation import Continuation, continuation_of
from routing.failover import LARGE_BYTES, Answered, Attempt, Failover, OpenedStream, RejectedUpstream, Trail
from routing.flights import Flight, Flights, record_of_ended
from routing.health import Health
from routing.hedging import Hedger
from routing.planner import Planner
from routing.plans import Plan
from routing.prompts import Fingerprint
from routing.rendering import (
    answer_headers,
    cost_header,
    error_reply,
    in_header,
    rejected_error,
    trace_of,
    with_trace,
    with_usage,
)
from routing.repeats import Repeats
from routing.replies import JSON_TYPE, STREAM_HEADERS, Reply, StreamReply
from routing.settlement import COMPLETED, NO_CHARGE, Append, Settlement
from routing.snapshots import OrgSnapshot, Snapshots
from routing.spending import Spending
from routing.streams import MeteredStream


class Gateway:
    """One per process; made by `routing.wiring`."""

    def __init__(
        self,
        snapshots: Snapshots,
        planner: Planner,
        failover: Failover,
        health: Health,
        admission: Admission,
        append: Append,
        clock: Callable[[], float],
        can_record: Callable[[], bool] = lambda: True,
        cache: Cache | None = None,
        recounts: Recounts | None = None,
        note: Note = nothing_noted,
        fingerprint: Fingerprint | None = None,
        spending: Spending | None = None,
        hedger: Hedger | None = None,
        repeats: Repeats | None = None,
        append_soon: Append | None = None,
    ) -> None:
        """`append_soon` may be used for whole answers, which leave at the end of a turn. `can_record` says whether
        `append` will take what a call that begins now has to record; `note` writes a checkpoint of a stream. Without
        `spending` no budget is kept."""
        self._recounts = recounts
        self._snapshots = snapshots
        self._planner = planner
        self._failover = failover
        self._health = health
        self._admission = admission
        self._spending = spending
        self._append = append
        self._append_soon = append_soon or append
        self._clock = clock
        self._fingerprint = fingerprint
        self._can_record = can_record
        self._note = note
        self._hedger = hedger
        self._repeats = repeats
        self._cache = cache if cache is not None else Cache(Flights())

    async def serve(self, call: Call, caller: Caller, flight: Flight) -> Reply | StreamReply:
        """What cannot be served is a reply as well, and is recorded.

        Raises:
            TemporarilyUnavailable: nothing can be recorded now, so nothing is begun.
        """
        if not self._can_record():
            raise TemporarilyUnavailable("Usage cannot be recorded for the moment.", retry_after_s=5)
        trail = Trail(flight.started)
        append = self._append if call.stream else self._append_soon
        settlement = Settlement(call, caller, trail, append, self._clock, self._fingerprint)
        try:
            snapshot = self._snapshots.get(caller.org_id)
            check_models(call, caller)
            plan = self._planner.plan(call, snapshot, self._clock(), caller.key_public_id)
            enter = None
            if snapshot.limits is not None:
                plan, enter = await self._admission.admit(call, caller, snapshot.limits, plan, settlement)
            flight.deadline = flight.started + self._total_s(call, plan)
            flight.idle_s = plan.deadlines.idle_s
            asked = Asked(call, plan, trail, settlement, flight, enter)
            if snapshot.budgets is not None and self._spending is not None:
                look_up = partial(self._look_up, asked, snapshot) if snapshot.cache.by_scope else None
                call, plan = await self._spending.cover(call, caller, snapshot.budgets, plan, settlement, look_up)
                asked.call, asked.plan = call, plan
            settlement.plan = plan
            covered = wanted(call, caller, plan, snapshot)
            if covered is not None:
                reply = await self._cache.serve(covered, asked, self._ask)
                if self._repeats is not None and settlement.cache == HIT:
                    self._repeats.note(call, caller, snapshot, plan, covered)
                return reply
            return await self._ask(asked)
        except Spared as spared:
            return spared.reply
        except RejectedUpstream as rejected:
            return self._rejected(call, rejected, trail, settlement)
        except ShareAIError as error:
            return self._refused(call, error, trail, settlement)
        except asyncio.CancelledError:
            status, code = record_of_ended(flight)
            settlement.settle(status=status, billing_reason=NO_CHARGE, error_code=code)
            raise

    async def _look_up(self, asked: Asked, snapshot: OrgSnapshot, call: Call) -> None:
        """Raises: Spared: somebody has paid for the answer to it already."""
        settlement = asked.settlement
        covered = wanted(call, settlement.caller, asked.plan, snapshot)
        if covered is None:
            return
        settlement.plan = asked.plan
        if (reply := await self._cache.free(covered, asked)) is not None:
            raise Spared(reply)
        settlement.plan = None

    async def _ask(self, asked: Asked) -> Reply | StreamReply:
        call, plan, trail, settlement = asked.call, asked.plan, asked.trail, asked.settlement
        if plan.hedge is not None and call.stream and self._hedger is not None:
            result = await self._hedger.run(asked, plan.hedge)
        else:
            result = await self._failover.run(call, plan, trail, asked.flight, asked.enter)
        if isinstance(result, OpenedStream):
            return self._streamed(asked, result)
        return await self._answered(call, plan, result, trail, settlement)

    @staticmethod
    def _total_s(call: Call, plan: Plan) -> float:
        return plan.deadlines.total_stream_s if call.stream else plan.deadlines.total_unary_s

    def _streamed(self, asked: Asked, opened: OpenedStream) -> StreamReply:
        call, plan, trail, settlement = asked.call, asked.plan, asked.trail, asked.settlement
        attempt, now = opened.attempt, self._clock()
        continuation = self._continuation(asked, opened.first) if plan.continues else None
        source = MeteredStream(call, opened, trail, settlement, self._health, self._clock, self._note, continuation)
        if attempt.target.place == GUEST or continuation is not None:
            source.recounts = self._recounts
        headers = answer_headers(
            call.request_id,
            attempt.target.name,
            plan.route,
            len(trail.attempts) + 1,
            max(now - trail.started - trail.upstream_s, 0.0),
            now - trail.started,
            dropped_of(call, attempt.target.dropped_params),
        )
        return StreamReply(200, [*STREAM_HEADERS, *headers, *settlement.limit_headers], source)

    def _continuation(self, asked: Asked, first: bytes) -> Continuation | None:
        """Planned and paid for as things are when the stream has broken off, maybe half an hour after it began."""
        caller = asked.settlement.caller

        def replan(call: Call) -> Plan:
            return self._planner.plan(call, self._snapshots.get(caller.org_id), self._clock(), caller.key_public_id)

        async def cover(call: Call, plan: Plan, settlement: Settlement) -> tuple[Call, Plan]:
            budgets = self._snapshots.get(caller.org_id).budgets
            if budgets is None or self._spending is None:
                return call, plan
            return await self._spending.cover(call, caller, budgets, plan, settlement)

        return continuation_of(asked, self._failover, replan, cover, first)

    async def _answered(
        self, call: Call, plan: Plan, answered: Answered, trail: Trail, settlement: Settlement
    ) -> Reply:
        attempt, completion = answered.attempt, answered.completion
        now = self._clock()
        attempt.close()
        trail.note(attempt, "ok", now, 200)
        usage, body, recount = completion.usage, completion.body, None
        if usage is None or attempt.target.place == GUEST:
            usage, recount = await self._counted(attempt, completion, settlement)
            is_told = usage is not completion.usage and call.endpoint in TELLS_USAGE
            body = with_usage(body, usage) if is_told else body
        if attempt.ttft_s is not None:
            attempt.speed.note(attempt.ttft_s, usage.output_tokens, attempt.ttft_s)
        cost_nanos = settlement.settle(
            status=200,
            billing_reason=COMPLETED,
            attempt=attempt,
            usage=usage,
            finish_reason=completion.finish_reason,
        )
        if attempt.target.place == GUEST and self._recounts is not None:
            self._recounts.note(attempt.target, recount, attempt.ttft_s or 0.0)
        if call.wants_trace:
            body = await _traced(body, trace_of(plan, trail.attempts))
        headers = answer_headers(
            call.request_id,
            attempt.target.name,
            plan.route,
            len(trail.attempts),
            max(now - trail.started - trail.upstream_s, 0.0),
            attempt.ttft_s,
            dropped_of(call, attempt.target.dropped_params),
        )
        return Reply(200, [JSON_TYPE, *headers, cost_header(cost_nanos), *settlement.limit_headers], body)

    @staticmethod
    async def _counted(
        attempt: Attempt, completion: Completion, settlement: Settlement
    ) -> tuple[TokenUsage, Recount | None]:
        """Of an answer whose upstream told no usage, or is not to be taken at its word."""
        said, text = completion.usage, completion.text
        try:
            if said is None:
                return await settlement.count(text, completion.unworded_tokens), None
            recount = await settlement.recount(attempt.target, said, partial(text_of, completion.body))
        except asyncio.CancelledError:
            settlement.settle_counted(
                text if said is None else text_of(completion.body),
                attempt=attempt,
                status=200,
                billing_reason=COMPLETED,
                finish_reason=completion.finish_reason,
                error_code="",
                unworded_tokens=completion.unworded_tokens,
            )
            raise
        return recount.believed, recount

    def _refused(self, call: Call, error: ShareAIError, trail: Trail, settlement: Settlement) -> Reply:
        settlement.settle(status=error.status, billing_reason=NO_CHARGE, error_code=error.code)
        trace_id = call.trace.id if call.trace is not None else ""
        trace = trace_of(settlement.plan, trail.attempts, trace_id) if call.wants_trace else None
        headers = [(b"x-shareai-attempts", b"%d" % len(trail.attempts)), *settlement.limit_headers]
        return error_reply(error, call.request_id, headers, trace)

    def _rejected(self, call: Call, rejected: RejectedUpstream, trail: Trail, settlement: Settlement) -> Reply:
        """The upstream's explanation of the caller's own mistake, with OpenAI's four keys always there."""
        settlement.settle(status=rejected.status, billing_reason=NO_CHARGE, error_code="rejected_upstream")
        target = trail.attempts[-1].target if trail.attempts else ""  # another caller with the same request asked
        error = rejected_error(rejected.status, rejected.body, target)
        tried = (b"x-shareai-attempts", b"%d" % len(trail.attempts))
        headers = [(b"x-shareai-target", in_header(target)), tried, *settlement.limit_headers]
        trace = trace_of(settlement.plan, trail.attempts) if call.wants_trace else None
        return error_reply(error, call.request_id, headers, trace)


async def _traced(body: bytes, trace: dict[str, Any]) -> bytes:
    if len(body) <= LARGE_BYTES:
        return with_trace(body, trace)
    return await asyncio.to_thread(with_trace, body, trace)


def check_models(call: Call, caller: Caller) -> None:
    """Raises: ModelNotAllowed: the key may not use a name of the call."""
    allowed = caller.allowed_models
    if allowed is None:
        return
    for name in call.models:
        if name not in allowed:
            raise ModelNotAllowed(
                f"This key may not use the model '{name}'. It may use: {', '.join(sorted(allowed)) or 'none'}.",
                param="model",
            )
