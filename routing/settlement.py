"""The end of a request, written once: usage, cost, attempts, into the journal.

Whoever serves a request holds its `Settlement` and must call `settle`; the first call counts, and gives back what the
request took of its limits. When the upstream
reported no usage, the tokens of what was delivered are counted, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from accounts.authentication import Caller
from metering.admission import Headers, Hold
from metering.holdings import Holding
from metering.usage import HIT, TRACE_ID, UsageRecord, moment_now
from nodes.recount import Recount
from providers.adapters.base import NONE, TokenUsage
from providers.schema import Call
from providers.targets import Target
from routing.counting import counted_usage, recount_of
from routing.failover import Attempt, Trail
from routing.parts import NO_PARTS, Charges, cost_of, part_of
from routing.plans import Plan
from routing.prompts import UNKNOWN, Fingerprint
from routing.upper_bounds import Size, is_sold, within

COMPLETED, CANCELLED, INTERRUPTED, NO_CHARGE, CACHED = (
    "completed",
    "cancelled_delivered",
    "interrupted_delivered",
    "no_charge_error",
    "cached",
)

GATEWAY_LOST = "gateway_lost"
"""The error code of a stream whose process was killed in the middle of it."""

Append = Callable[[UsageRecord], None]

_counting: set[asyncio.Future[None]] = set()


class Settlement:
    """Of one request. `clock` is monotonic; `append` writes the journal."""

    __slots__ = (
        "_append",
        "_began_at",
        "_call",
        "_clock",
        "_done",
        "_fingerprint",
        "_parts",
        "_trail",
        "bound",
        "cache",
        "caller",
        "hold",
        "holding",
        "limit_headers",
        "plan",
        "record",
        "saved_nanos",
    )

    def __init__(
        self,
        call: Call,
        caller: Caller,
        trail: Trail,
        append: Append,
        clock: Callable[[], float],
        fingerprint: Fingerprint | None = None,
    ) -> None:
        """Without a `fingerprint` nobody can tell later which requests asked the same."""
        self._fingerprint = fingerprint
        self._call = call
        self.caller = caller
        self._trail = trail
        self._append = append
        self._clock = clock
        self._began_at = moment_now()
        self._done = False
        self._parts = NO_PARTS
        self.bound: Size | None = None
        self.plan: Plan | None = None
        self.cache = ""
        self.saved_nanos = 0
        self.record: UsageRecord | None = None
        self.hold: Hold | None = None
        self.holding: Holding | None = None
        self.limit_headers: Headers = []

    def handed_over(self) -> Settlement:
        """One in its place, for whoever sees the request to its end; this one records nothing from now on."""
        successor = Settlement(self._call, self.caller, self._trail, self._append, self._clock, self._fingerprint)
        successor._began_at, successor._done, successor._parts = self._began_at, self._done, self._parts
        successor.bound, successor.plan, successor.cache = self.bound, self.plan, self.cache
        successor.hold, successor.holding, successor.limit_headers = self.hold, self.holding, self.limit_headers
        self._done, self.hold, self.holding = True, None, None
        return successor

    def settle(
        self,
        *,
        status: int,
        billing_reason: str,
        attempt: Attempt | None = None,
        usage: TokenUsage | None = None,
        finish_reason: str = "",
        error_code: str = "",
    ) -> int:
        """Writes the record; gives the cost in nano-USD. Later calls do nothing and give 0."""
        if self._done:
            return 0
        self._done = True
        usage = usage or TokenUsage(source=NONE)
        target = attempt.target if attempt else None
        usage = self._bounded(usage, target)
        mine_nanos = cost_nanos = cost_of(usage, target.price if target else None)
        charges = self._charges(usage, mine_nanos, target)
        if self._parts is not NO_PARTS and attempt is not None:
            self._trail.tell_used(attempt, part_of(attempt, usage))
            usage, cost_nanos = self._parts.joined(usage, mine_nanos)
        if self.hold is not None:
            is_hit = billing_reason == CACHED
            self.hold.settle(0 if is_hit else usage.input_tokens + usage.output_tokens)
        record = self._record_of(
            status, billing_reason, attempt, target, usage, cost_nanos, finish_reason, error_code
        )
        if charges and self.holding is not None:
            record = msgspec.structs.replace(record, lessee=self.holding.lessee, charges=charges)
        self.record = record
        self._append(record)
        return cost_nanos

    def _charges(self, usage: TokenUsage, cost_nanos: int, target: Target | None) -> Charges:
        """What its budgets are to be charged; what it did not need is free again."""
        if self.holding is None:
            return ()
        if self._parts.held_for is not None:
            usage, cost_nanos, target = self._parts.held_for
        tokens = usage.input_tokens + usage.output_tokens if target is not None else 0
        model, is_sold = (target.model_id, target.org_id != self.caller.org_id) if target is not None else ("", False)
        charges = self.holding.close(cost_nanos, tokens, model, is_sold=is_sold)
        return self._parts.with_charges(charges)

    def settle_hit(self, usage: TokenUsage, finish_reason: str, saved_nanos: int) -> None:
        """Answered with what another request has paid for."""
        self.cache, self.saved_nanos = HIT, saved_nanos
        self.settle(status=200, billing_reason=CACHED, usage=usage, finish_reason=finish_reason)

    def record_so_far(self, attempt: Attempt, usage: TokenUsage) -> UsageRecord | None:
        """What is to be recorded if the process dies now; None once the end itself has been recorded."""
        if self._done:
            return None
        trail, target = self._trail, attempt.target
        usage = self._bounded(usage, target)
        current = trail.record_of(attempt, GATEWAY_LOST, self._clock(), 200)
        cost_nanos = cost_of(usage, target.price)
        charges: Charges = ()
        if self.holding is not None:
            held, held_nanos, of = self._parts.held_for or (usage, cost_nanos, target)
            tokens, is_sold = held.input_tokens + held.output_tokens, of.org_id != self.caller.org_id
            own = self.holding.so_far(held_nanos, tokens, of.model_id, is_sold=is_sold)
            charges = self._parts.with_charges(own)
        if self._parts is not NO_PARTS:
            current = msgspec.structs.replace(current, used=part_of(attempt, usage))
            usage, cost_nanos = self._parts.joined(usage, cost_nanos)
        record = self._record_of(200, INTERRUPTED, attempt, target, usage, cost_nanos, "", GATEWAY_LOST)
        if self.holding is not None:
            record = msgspec.structs.replace(record, lessee=self.holding.lessee, charges=charges)
        attempts = (*trail.attempts, current)
        return msgspec.structs.replace(record, attempts=attempts, attempt_count=len(attempts), overhead_us=None)

    def beside(self) -> Settlement:
        """One that never settles: it takes what is held for a further part of the same answer."""
        return Settlement(self._call, self.caller, self._trail, self._append, self._clock)

    def go_on(
        self, call: Call, attempt: Attempt, usage: TokenUsage, holding: Holding | None, bound: Size | None
    ) -> None:
        """Another target goes on with the answer, asked by `call`: what `attempt` used is its part of the bill.

        Args:
            holding, bound: for the part that begins, of the same lessee as that of the part which ends, if both have
                one, and what it covers.
        """
        usage, self.bound = self._bounded(usage, attempt.target), bound
        part = part_of(attempt, usage)
        charges, held_for = self._parts.charges, None
        if holding is None and self.holding is not None:
            # What begins costs nobody anything. What is held stays until the end, for the record names its lessee.
            held_for = self._parts.held_for or (usage, part.cost_nanos, attempt.target)
        else:
            charges = self._charges(usage, part.cost_nanos, attempt.target)
            self.holding = holding
        self._parts = self._parts.and_also(part, attempt, call, charges, held_for)
        self._trail.tell_used(attempt, part)

    def summed(self, usage: TokenUsage) -> TokenUsage:
        """With what earlier targets had used of the same answer."""
        return self._parts.joined(usage, 0)[0]

    def _bounded(self, usage: TokenUsage, target: Target | None) -> TokenUsage:
        """Who is paid for it is believed as far as what was held reaches."""
        if self.bound is None or target is None or not is_sold(target, self.caller.org_id):
            return usage
        return within(usage, self.bound, target)

    async def recount(self, target: Target, said: TokenUsage, text: Callable[[], str]) -> Recount:
        """What a machine of others says held against what the gateway counts, off the loop. `text`: what came."""
        call = self._parts.call or self._call
        return await asyncio.get_running_loop().run_in_executor(None, recount_of, call, target, said, text)

    async def count(self, text: str, unworded_tokens: int = 0) -> TokenUsage:
        """What the gateway itself counts of the prompt and `text`, off the loop."""
        call = self._parts.call or self._call
        return await asyncio.get_running_loop().run_in_executor(None, counted_usage, call, text, unworded_tokens)

    def settle_counted(
        self,
        text: str,
        *,
        attempt: Attempt,
        status: int,
        billing_reason: str,
        finish_reason: str,
        error_code: str,
        unworded_tokens: int = 0,
    ) -> None:
        """As `settle`, after counting the prompt and `text` off the loop."""
        if self._done:
            return
        successor = self.handed_over()
        if successor.hold is not None:
            successor.hold.leave()

        async def count() -> None:
            successor.settle(
                status=status,
                billing_reason=billing_reason,
                attempt=attempt,
                usage=await successor.count(text, unworded_tokens),
                finish_reason=finish_reason,
                error_code=error_code,
            )

        task = asyncio.get_running_loop().create_task(count())
        _counting.add(task)
        task.add_done_callback(_counting.discard)

    def _record_of(
        self,
        status: int,
        billing_reason: str,
        attempt: Attempt | None,
        target: Target | None,
        usage: TokenUsage,
        cost_nanos: int,
        finish_reason: str,
        error_code: str,
    ) -> UsageRecord:
        call, caller, trail = self._call, self.caller, self._trail
        elapsed_s = self._clock() - trail.started
        opened = self._parts.first or attempt
        ttft_s = opened.ttft_s if opened else None
        return UsageRecord(
            request_id=call.request_id,
            started_at=self._began_at,
            org_id=caller.org_id,
            key_id=caller.key_id,
            user_id=caller.user_id,
            endpoint=call.endpoint,
            model=call.model,
            route=self.plan.route if self.plan else "",
            target=target.name if target else "",
            target_id=target.id if target else None,
            status=status,
            error_code=error_code,
            stream=call.stream,
            finish_reason=finish_reason[:20],
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            cost_nanos=cost_nanos,
            usage_source=usage.source,
            token_details=usage.token_details,
            billing_reason=billing_reason,
            price_version=target.price.version if target and target.price else None,
            attempts=tuple(trail.attempts),
            attempt_count=len(trail.attempts),
            duration_ms=round(elapsed_s * 1000),
            ttft_ms=None
            if ttft_s is None
            else round((opened.started - trail.started + ttft_s) * 1000)
            if opened
            else None,
            overhead_us=round(max(elapsed_s - trail.upstream_s, 0.0) * 1e6),
            sdk_retry=call.sdk_retry,
            user_agent=call.user_agent,
            cache=self.cache,
            saved_nanos=self.saved_nanos,
            metadata=self._metadata(),
            prompt_hash=self._fingerprint.of(caller.org_id, call.body)
            if self._fingerprint is not None and status == 200
            else UNKNOWN,
        )

    def _metadata(self) -> dict[str, str] | None:
        variant, trace = self.plan.variant if self.plan else None, self._call.trace
        return variant if trace is None else {**(variant or {}), TRACE_ID: trace.id}


async def drain_counting() -> None:
    """Waits for the counts that are still running; called before the journal closes."""
    if _counting:
        await asyncio.wait(_counting)
