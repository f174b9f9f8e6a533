"""May this request come? Every limit on its way is asked at once, before anything is dialled.

What holds for the caller (organisation, member, key, route) refuses the request. What holds for a place (a model, a
machine) only sends it to the next candidate of its plan, and refuses when there is none.
"""

from __future__ import annotations

import msgspec

from accounts.authentication import Caller
from metering.admission import Hold, charges_of, headers_of, refusal_of
from metering.bounds import Bound, Limits
from metering.gate import Gate
from metering.shares import Charge, Verdict
from providers.endpoints import IMAGES, PICTURE_TOKENS, WRITES
from providers.schema import BYTES_PER_TOKEN, Call
from providers.targets import Target
from routing.failover import Enter
from routing.plans import Candidate, Plan, Rejected
from routing.settlement import Settlement
from routing.upper_bounds import choices_of

USUAL_OUTPUT_TOKENS = 256


def estimated_tokens(call: Call) -> int:
    """In and out; what was used in fact is charged when it is known."""
    if call.endpoint in WRITES:
        output = call.max_tokens or USUAL_OUTPUT_TOKENS
    else:
        output = PICTURE_TOKENS * choices_of(call) if call.endpoint == IMAGES else 0
    return -(-call.prompt_bytes // BYTES_PER_TOKEN) + output


class Admission:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def admit(
        self, call: Call, caller: Caller, limits: Limits, plan: Plan, settlement: Settlement
    ) -> tuple[Plan, Enter | None]:
        """The plan without what its limit forbids, and who lets the request in to each further candidate.

        `settlement` gets the hold and the headers.

        Raises:
            RateLimitExceeded, QuotaExceeded, ConcurrencyLimitExceeded: 429.
        """
        tokens = estimated_tokens(call)
        common = limits.of_caller(caller.user_id, caller.key_id, plan.route)
        if not limits.models and not limits.nodes:
            await self._take(charges_of(common, tokens), settlement)
            return plan, None
        plan = await self._placed(plan, common, limits, tokens, settlement)
        hold = settlement.hold

        async def enter(target: Target) -> bool:
            own = limits.of_target(target.model_id, target.node)
            return not own or hold is None or await hold.add(own, tokens)

        return plan, enter

    async def _take(self, charges: list[Charge], settlement: Settlement) -> None:
        if not charges:
            return
        verdict = await self._gate.admit(charges)
        self._note(charges, verdict, settlement)
        if verdict.binding >= 0:
            raise refusal_of(charges, verdict)

    def _note(self, charges: list[Charge], verdict: Verdict, settlement: Settlement) -> None:
        headers = headers_of(charges, verdict)
        settlement.limit_headers = headers
        if verdict.binding < 0:
            settlement.hold = Hold(self._gate, charges, headers)

    async def _placed(
        self, plan: Plan, common: list[Bound], limits: Limits, tokens: int, settlement: Settlement
    ) -> Plan:
        """The plan from the first candidate on whose own limits have room."""
        full: set[str] = set()
        passed_by: list[Rejected] = []
        refusal: Exception | None = None
        for index, candidate in enumerate(plan.candidates):
            own = limits.of_target(candidate.target.model_id, candidate.target.node)
            if refusal is not None and any(bound.bucket in full for bound in own):
                passed_by.append(Rejected(candidate.target.name, "limit_reached"))
                continue
            charges = charges_of([*common, *own], tokens)
            verdict = await self._gate.admit(charges) if charges else _FREE
            self._note(charges, verdict, settlement)
            if verdict.binding < 0:
                return _without(plan, plan.candidates[index:], passed_by)
            refusal = refusal_of(charges, verdict)
            if verdict.binding < len(common):
                raise refusal
            full.add(charges[verdict.binding][0].bucket)
            passed_by.append(Rejected(candidate.target.name, "limit_reached", verdict.wait_us / 1e6 or None))
        assert refusal is not None  # a plan has at least one candidate
        raise refusal


_FREE = Verdict(-1, 0.0, ())


def _without(plan: Plan, candidates: tuple[Candidate, ...], passed_by: list[Rejected]) -> Plan:
    if not passed_by:
        return plan
    return msgspec.structs.replace(plan, candidates=candidates, rejected=(*plan.rejected, *passed_by))
