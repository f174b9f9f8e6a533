"""Is this request covered by every budget on its way? Holds the most that it can cost, or says what becomes of it.

What it may write is bounded so that the estimate binds: the bound goes into the body that is sent. A budget that does
not cover the request shortens its answer, sends it to own machines, lets it pass, or refuses it, as was set for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import msgspec

from accounts.authentication import Caller
from accounts.scopes import BLOCK, MODEL, OWN_NODES, TOKENS, USD
from common.errors import BudgetExceeded, PriceUnknown, TemporarilyUnavailable
from common.money import format_usd, usd_text
from metering.budgets import PURSE, Budget, Budgets, span_of
from metering.holdings import Holding, Short, Wish
from metering.rounds import Stand
from metering.treasury import Treasury
from providers.schema import TOKEN_LIMITS, Call
from providers.targets import OWN
from routing.paying import LEAST_TOKENS, Wanted, only, pay_otherwise, payers_of, serve_free, wishes_of
from routing.plans import Plan
from routing.settlement import Settlement
from routing.upper_bounds import choices_of, is_unpriced, output_limit, output_within

CLAMPED = b"x-shareai-max-tokens-clamped"

LookUp = Callable[[Call], Awaitable[None]]
"""Asked for a call, as it would be sent if all of it were covered, before it is made to wait or is refused. Where its
answer is to be had for nothing, it raises, and ends the request there."""


class Spending:
    def __init__(self, treasury: Treasury, top_up_url: str = "") -> None:
        """Args: top_up_url: where people buy credits; refusals name it."""
        self._treasury = treasury
        self._top_up_url = top_up_url

    async def cover(
        self,
        call: Call,
        caller: Caller,
        budgets: Budgets,
        plan: Plan,
        settlement: Settlement,
        look_up: LookUp | None = None,
    ) -> tuple[Call, Plan]:
        """The call with its bound written into it, and the plan without whom the budgets do not allow.

        `settlement` gets what is held. What is covered from memory costs no `look_up`.

        Raises:
            BudgetExceeded, InsufficientBalance, PriceUnknown: 402.
            TemporarilyUnavailable: nothing is left here, and PostgreSQL cannot be asked for more.
        """
        kept = _kept(budgets, caller, plan)
        payers = payers_of(budgets, caller.org_id, plan)
        if not kept and not payers:
            return call, plan
        if payers or any(budget.unit == USD for budget in kept):
            plan = _priced(call, plan)
        wanted = Wanted(call, plan, kept, output_limit(call, plan.candidates), [], payers)
        if len(payers) > 1 and self._treasury.is_dry(payers[0]):
            wanted.left[payers[0].name] = self._treasury.left_of(payers[0])
        wishes = wishes_of(wanted)
        held: Holding | Short | None = self._treasury.hold(wishes) if wishes else None
        whole = None
        while (wishes or wanted.uncovered) and not isinstance(held, Holding):
            if look_up is not None:
                whole = whole or _bounded(wanted)
                await look_up(whole)
            if held is not None:
                self._concede(wanted, held, wishes)
                wishes = wishes_of(wanted)
            held = await self._treasury.hold_or_wait(wishes, is_patient=_has_no_home(wanted))
        if isinstance(held, Holding):
            if wanted.uncovered:
                held.charge_too(self._treasury.accounts_of(wanted.uncovered))
            settlement.holding, settlement.bound = held, wanted.size
        if wanted.is_clamped:
            settlement.limit_headers = [*settlement.limit_headers, (CLAMPED, b"%d" % wanted.max_tokens)]
        return _bounded(wanted), wanted.plan

    def used_percent(self, budgets: Budgets, user_id: int | None, key_id: int, route: str) -> float:
        """How much of the fullest budget on a caller's way is used, as of about a second ago."""
        return self._treasury.used_percent(budgets.of_caller(user_id, key_id, route))

    def _concede(self, wanted: Wanted, short: Short, wishes: Sequence[Wish]) -> None:
        """Makes the request one that may be covered. Raises: as `cover`."""
        if short.is_away and not (wanted.payers and not wanted.budgets and serve_free(wanted)):
            raise TemporarilyUnavailable("The budgets cannot be checked for the moment.", retry_after_s=2)
        bounds = {budget.name: (budget, bound) for budget, bound in wishes}
        for name, stand in short.stands.items():
            budget, bound = bounds[name]
            if budget.scope == PURSE:
                pay_otherwise(wanted, budget, bound, stand, self._treasury.left_of(budget), self._top_up_url)
            elif budget.when_reached == BLOCK:
                self._shorten(wanted, budget, bound, stand)
            elif budget.when_reached == OWN_NODES:
                _stay_home(wanted, budget, bound, stand)
            else:
                wanted.budgets.remove(budget)
                wanted.uncovered.append(budget)

    def _shorten(self, wanted: Wanted, budget: Budget, bound: int, stand: Stand | None) -> None:
        """To what is left, or past the model whose budget it is, or not at all."""
        available = 0 if stand is None else stand.balance - stand.held
        tokens = output_within(budget, available, wanted.size, choices_of(wanted.call), wanted.targets)
        if wanted.may_be_shorter and LEAST_TOKENS <= tokens < wanted.max_tokens:
            wanted.max_tokens, wanted.is_clamped = tokens, True
            return
        if budget.scope == MODEL:
            others = [one for one in wanted.plan.candidates if one.target.model_id != budget.subject]
            if others:
                wanted.plan = only(wanted.plan, others, "budget_reached")
                wanted.budgets.remove(budget)
                return
        raise refusal_of(budget, bound, stand)


def _kept(budgets: Budgets, caller: Caller, plan: Plan) -> list[Budget]:
    found = budgets.of_caller(caller.user_id, caller.key_id, plan.route)
    if budgets.models:
        for model in {candidate.target.model_id: None for candidate in plan.candidates}:
            found += budgets.models.get(model, ())
    return found


def _priced(call: Call, plan: Plan) -> Plan:
    """Without those whose price nobody knows. Raises: PriceUnknown: there are no others."""
    if not any(is_unpriced(candidate.target) for candidate in plan.candidates):
        return plan
    others = [candidate for candidate in plan.candidates if not is_unpriced(candidate.target)]
    if not others:
        raise PriceUnknown(
            f"No target of '{call.model}' has a known price, and it would be paid from a balance or a budget.",
            param="model",
            should_retry=False,
        )
    return only(plan, others, "price_unknown")


def _has_no_home(wanted: Wanted) -> bool:
    """A budget that leaves own machines to it would refuse this request, as no own machine is in its plan."""
    if all(budget.when_reached != OWN_NODES for budget in wanted.budgets):
        return False
    return all(candidate.target.place != OWN for candidate in wanted.plan.candidates)


def _stay_home(wanted: Wanted, budget: Budget, bound: int, stand: Stand | None) -> None:
    """Own machines go on serving, at nobody's expense. Raises: BudgetExceeded: none of them can serve this."""
    own = [candidate for candidate in wanted.plan.candidates if candidate.target.place == OWN]
    if not own:
        raise refusal_of(budget, bound, stand)
    wanted.plan = only(wanted.plan, own, "budget_reached")
    wanted.budgets.remove(budget)


def _bounded(wanted: Wanted) -> Call:
    """The call as it is sent: a limit that the caller did not give, or a smaller one, is written into its body."""
    call = wanted.call
    if wanted.max_tokens in (0, call.max_tokens) or not wanted.may_be_shorter:
        return call
    if not any(bound for _, bound in wishes_of(wanted)):
        return call
    names = [name for name in TOKEN_LIMITS if call.body.get(name) is not None] or ["max_tokens"]
    body = {**call.body, **dict.fromkeys(names, wanted.max_tokens)}
    return msgspec.structs.replace(call, body=body, max_tokens=wanted.max_tokens)


def refusal_of(budget: Budget, bound: int, stand: Stand | None) -> BudgetExceeded:
    """With what is left and when it begins anew."""
    limit, left = budget.amount, 0 if stand is None else max(0, stand.balance - stand.held)
    held = 0 if stand is None else stand.held
    resets_at = span_of(budget.window, datetime.now(UTC))[1]
    until = f" It begins anew at {_iso(resets_at)}." if resets_at else ""
    message = (
        f"The {budget.window} budget of the {budget.scope} does not cover this request: of {_said(budget, limit)}"
        f" {_said(budget, left)} are left, and the request can take {_said(budget, bound)}.{until}"
    )
    about = {
        "scope": budget.scope,
        "subject": budget.label or None,
        "window": budget.window,
        "resets_at": _iso(resets_at) if resets_at else None,
        **_figures(budget, limit=limit, left=left, held=held, needed=bound),
    }
    return BudgetExceeded(message, metadata=about, should_retry=False)


def _figures(budget: Budget, **amounts: int) -> dict[str, str | int]:
    if budget.unit == TOKENS:
        return {f"{name}_tokens": amount for name, amount in amounts.items()}
    return {f"{name}_usd": usd_text(amount) for name, amount in amounts.items()}


def _said(budget: Budget, amount: int) -> str:
    return f"{amount:,} tokens" if budget.unit == TOKENS else format_usd(amount)


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
