"""Who pays for a request: what is to be held of budgets, and of the organisation's own money for what others serve.

Own connections and own machines cost nothing and are never refused for an empty balance. Where the balance is short
the request goes to those that it covers, or to free ones; else its answer is shortened; else it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from common.errors import InsufficientBalance
from common.money import format_usd, usd_text
from metering.budgets import Budget, Budgets
from metering.holdings import Wish
from metering.rounds import Stand
from providers.endpoints import WRITES
from providers.schema import Call
from providers.targets import Target
from routing.plans import Candidate, Plan, Rejected
from routing.upper_bounds import Size, bound_of, choices_of, cost_bound, is_sold, output_within, size_of

LEAST_TOKENS = 16
"""A shorter answer than that is no answer: the request is refused instead."""


class Wanted(msgspec.Struct):
    """What is to be held, as far as it has been decided.

    `payers` share what the request can cost: each what `left` says of it, the last one all the rest.
    """

    call: Call
    plan: Plan
    budgets: list[Budget]
    max_tokens: int
    uncovered: list[Budget]
    payers: tuple[Budget, ...] = ()
    left: dict[str, int] = {}
    is_clamped: bool = False

    @property
    def targets(self) -> list[Target]:
        return [candidate.target for candidate in self.plan.candidates]

    @property
    def may_be_shorter(self) -> bool:
        """Of pictures nobody can ask for fewer tokens."""
        return self.call.endpoint in WRITES

    @property
    def size(self) -> Size:
        return size_of(self.call, self.max_tokens)


def payers_of(budgets: Budgets, org_id: int, plan: Plan) -> tuple[Budget, ...]:
    """Nobody where all of the plan is free."""
    purses = budgets.purses
    if purses is None:
        return ()
    sold = [one.target.model_id for one in plan.candidates if is_sold(one.target, org_id)]
    return purses.of(sold) if sold else ()


def wishes_of(wanted: Wanted) -> list[Wish]:
    size, targets = wanted.size, wanted.targets
    wishes = [(budget, bound_of(budget, size, targets)) for budget in wanted.budgets]
    if wanted.payers:
        rest = bound_of(wanted.payers[0], size, targets)
        for payer in wanted.payers:
            part = min(rest, wanted.left.get(payer.name, rest))
            rest -= part
            if part:
                wishes.append((payer, part))
    return wishes


def pay_otherwise(wanted: Wanted, payer: Budget, bound: int, stand: Stand | None, has: int, top_up_url: str) -> None:
    """Makes the request one that may be paid for, when `payer` has less than `bound`. Raises: InsufficientBalance."""
    if payer.name != wanted.payers[-1].name:
        wanted.left[payer.name] = min(has, bound - 1)
        return
    has += sum(wanted.left.values())
    size = wanted.size
    affordable = [one for one in wanted.plan.candidates if _cost(one, payer, size) <= has]
    if affordable and len(affordable) < len(wanted.plan.candidates):
        wanted.plan = only(wanted.plan, affordable, "balance_short")
        return
    tokens = output_within(payer, has, size, choices_of(wanted.call), wanted.targets)
    if wanted.may_be_shorter and LEAST_TOKENS <= tokens < wanted.max_tokens:
        wanted.max_tokens, wanted.is_clamped = tokens, True
        return
    advice = "Lower max_tokens" if wanted.may_be_shorter else "Ask for less at a time"
    raise refusal_of(payer, bound_of(payer, size, wanted.targets), has, stand, top_up_url, advice)


def serve_free(wanted: Wanted) -> bool:
    """Whoever costs nothing serves, as nobody knows what is left. False: there is nobody."""
    free = [one for one in wanted.plan.candidates if not is_sold(one.target, wanted.payers[0].org_id)]
    if free:
        wanted.plan, wanted.payers = only(wanted.plan, free, "balance_short"), ()
    return bool(free)


def only(plan: Plan, kept: Iterable[Candidate], reason: str) -> Plan:
    kept = tuple(kept)
    dropped = [Rejected(one.target.name, reason) for one in plan.candidates if one not in kept]
    return msgspec.structs.replace(plan, candidates=kept, rejected=(*plan.rejected, *dropped))


def refusal_of(
    payer: Budget, bound: int, has: int, stand: Stand | None, top_up_url: str, advice: str
) -> InsufficientBalance:
    """With what is left, and where there is more."""
    held = 0 if stand is None else stand.held
    message = (
        f"The balance does not cover this request: {format_usd(has)} are left, and the request can cost"
        f" {format_usd(bound)}. {advice}, or top up{f' at {top_up_url}' if top_up_url else ''}."
    )
    about = {
        "account": payer.subject,
        "left_usd": usd_text(has),
        "held_usd": usd_text(held),
        "needed_usd": usd_text(bound),
        "top_up_url": top_up_url or None,
    }
    return InsufficientBalance(message, metadata=about, should_retry=False)


def _cost(candidate: Candidate, payer: Budget, size: Size) -> int:
    return 0 if candidate.target.org_id == payer.org_id else cost_bound(size, candidate.target)
