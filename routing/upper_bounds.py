"""The most that a request can use and cost, by construction: what a budget holds for it before it is sent.

No tokenizer makes more tokens than there are bytes, and an upstream is told how many tokens it may write. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from accounts.scopes import MODEL, TOKENS
from common.rates import FinerRates, tiers_within
from metering.budgets import PURSE, Budget
from providers.adapters.base import BOUNDED, TokenUsage, cut
from providers.endpoints import COMPLETIONS, IMAGES, MODERATIONS, WRITES, prompts_in
from providers.schema import Call
from providers.targets import OWN, Price, Target
from routing.plans import Candidate

TOKENS_OF_AN_IMAGE = 50_000
TOKENS_OF_A_MADE_PICTURE = 8_192
"""The largest of those in the best quality takes three quarters of it. No body could ask for less."""
UNSTATED_TOKENS = 4_096
"""What a request may write that does not say, of a model that does not say either: all of them can that much."""
_MILLION = 1_000_000
_UNSAID = (None, None)


class Size(msgspec.Struct, frozen=True, gc=False):
    """`prompt_tokens` before the model's context bounds them; `output_tokens` of all choices together. Each of the
    `prompts` has the context for itself."""

    prompt_tokens: int
    output_tokens: int
    prompts: int = 1

    def of(self, target: Target) -> int:
        """The prompts, as far as this target takes them."""
        context = target.context_tokens
        return self.prompt_tokens if context is None else min(self.prompt_tokens, context * self.prompts)


def is_unpriced(target: Target) -> bool:
    """Somebody is paid for it and nobody knows what. Own connections and own machines cost nothing unless priced."""
    return target.price is None and target.org_id is None and target.place != OWN


def is_sold(target: Target, org_id: int) -> bool:
    """Whoever serves it is to be paid, out of the balance of the organisation that asks."""
    price = target.price
    if target.org_id == org_id:
        return False
    if price is None or price.finer is not None:
        return True
    return bool(price.output_nanos or price.input_nanos or price.request_nanos)


def output_limit(call: Call, candidates: Iterable[Candidate]) -> int:
    """Of one choice: the caller's own limit, else what every candidate can write."""
    if call.endpoint not in WRITES:
        return TOKENS_OF_A_MADE_PICTURE if call.endpoint == IMAGES else 0
    if call.max_tokens is not None:
        return call.max_tokens
    return min((_can_write(candidate.target) for candidate in candidates), default=UNSTATED_TOKENS)


def size_of(call: Call, max_tokens: int) -> Size:
    prompt_tokens = call.prompt_bytes + TOKENS_OF_AN_IMAGE * images_in(call)
    return Size(prompt_tokens, max_tokens * choices_of(call), prompts_in(call.endpoint, call.body))


def images_in(call: Call) -> int:
    if "vision" not in call.requires:
        return 0
    if call.endpoint == MODERATIONS:
        return _images_in(call.body["input"])
    return sum(_images_in(message.get("content")) for message in call.body["messages"])


def choices_of(call: Call) -> int:
    """Answers to all its prompts: of several, each is answered as often as was asked for."""
    counts = call.body.get("n"), call.body.get("best_of")
    choices = 1 if counts == _UNSAID else max(1, *(count or 1 for count in counts))
    return choices * prompts_in(COMPLETIONS, call.body) if call.endpoint == COMPLETIONS else choices


def bound_of(budget: Budget, size: Size, targets: Iterable[Target]) -> int:
    """The most that the budget is charged, whichever target serves."""
    if budget.scope == MODEL:
        targets = [target for target in targets if target.model_id == budget.subject]
    elif budget.scope == PURSE:
        targets = [target for target in targets if target.org_id != budget.org_id]
    if budget.unit == TOKENS:
        return max((size.of(target) + size.output_tokens for target in targets), default=0)
    return max((cost_bound(size, target) for target in targets), default=0)


def cost_bound(size: Size, target: Target) -> int:
    price = target.price
    if price is None:
        return 0
    if price.finer is None:
        input_rate = max(price.input_nanos, price.cached_input_nanos or 0)
        exact = size.of(target) * input_rate + size.output_tokens * price.output_nanos
    else:
        prompt = _prompt_of(size, target, price.finer)
        exact = max(prompt * i + size.output_tokens * o for i, o in _dearest(price, prompt))
    return -(-exact // _MILLION) + price.request_nanos


def within(usage: TokenUsage, size: Size, target: Target) -> TokenUsage:
    """What of it is charged: no more than what was held for, so that no upstream's word takes what nobody held."""
    price = target.price
    prompt = size.of(target) if price is None or price.finer is None else _prompt_of(size, target, price.finer)
    if usage.input_tokens <= prompt and usage.output_tokens <= size.output_tokens:
        return usage
    return cut(usage, min(usage.input_tokens, prompt), min(usage.output_tokens, size.output_tokens), BOUNDED)


def output_within(budget: Budget, available: int, size: Size, choices: int, targets: Iterable[Target]) -> int:
    """How many tokens of each choice `available` pays for, in the dearest case; below 1: not even the prompt."""
    least = size.output_tokens // choices
    for target in targets:
        if budget.scope == MODEL and target.model_id != budget.subject:
            continue
        if budget.scope == PURSE and target.org_id == budget.org_id:
            continue
        if budget.unit == TOKENS:
            least = min(least, (available - size.of(target)) // choices)
        elif target.price is not None:
            least = _paid_output(available, size, choices, target, target.price, least)
    return least


def _paid_output(available_nanos: int, size: Size, choices: int, target: Target, price: Price, most: int) -> int:
    """Tokens of each choice that the money pays for at this target: `most` where they cost nothing, 0 where not even
    the prompt is paid."""
    has = (available_nanos - price.request_nanos) * _MILLION
    prompt = size.of(target) if price.finer is None else _prompt_of(size, target, price.finer)
    for input_rate, output_rate in _dearest(price, prompt):
        left = has - prompt * input_rate
        if left < 0:
            return min(most, 0)
        if output_rate:
            most = min(most, left // (output_rate * choices))
    return most


def _dearest(price: Price, input_tokens: int) -> Sequence[tuple[int, int]]:
    """What a token of the prompt and one of the answer cost at most, for each tier that the prompt can reach."""
    if price.finer is None:
        return ((max(price.input_nanos, price.cached_input_nanos or 0), price.output_nanos),)
    tiers = tiers_within(price, input_tokens)
    return [(tier.dearest_input_nanos, tier.dearest_output_nanos) for tier in tiers]


def _prompt_of(size: Size, target: Target, finer: FinerRates) -> int:
    """Who prices prompts beyond what the model is said to take does take them."""
    last = finer.tiers[-1].above_tokens if finer.tiers else 0
    return size.prompt_tokens if last >= (target.context_tokens or 0) else size.of(target)


def _can_write(target: Target) -> int:
    most = target.max_output_tokens or UNSTATED_TOKENS
    return most if target.context_tokens is None else max(1, min(most, target.context_tokens // 2))


def _images_in(content: object) -> int:
    if not isinstance(content, list):
        return 0
    return sum(isinstance(part, dict) and part.get("type") == "image_url" for part in content)
