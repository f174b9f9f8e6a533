"""Parts of one answer, each of another target, each at its own price."""

from __future__ import annotations

from collections import Counter

import msgspec

from common.money import request_cost_nanos
from common.rates import summed
from metering.usage import AttemptUsage
from providers.adapters.base import BOUNDED, COUNTED, REPORTED, TokenUsage
from providers.schema import Call
from providers.targets import Price, Target
from routing.failover import Attempt

Charges = tuple[tuple[int, int], ...]
"""Accounts of the ledger, with what each is charged."""
HeldFor = tuple[TokenUsage, int, Target]


def cost_of(usage: TokenUsage, price: Price | None) -> int:
    """In nano-USD; a target without a price costs nothing."""
    if price is None:
        return 0
    return request_cost_nanos(usage, price)


def part_of(attempt: Attempt, usage: TokenUsage, *, charged: bool = True) -> AttemptUsage:
    return part_of_target(attempt.target, usage, charged=charged)


def part_of_target(target: Target, usage: TokenUsage, *, charged: bool = True) -> AttemptUsage:
    price = target.price
    return AttemptUsage(
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        cost_of(usage, price),
        usage.source,
        price.version if price else None,
        charged,
        usage.token_details,
    )


class Parts(msgspec.Struct, frozen=True):
    """Those before the one that is still under way.

    Attributes:
        charges: what the budgets are charged for them.
        first: the attempt that opened the answer.
        call: what the target that speaks now was asked.
        held_for: what the holding has to pay for, where that is not the part under way.
    """

    usage: TokenUsage = TokenUsage(source=REPORTED)
    cost_nanos: int = 0
    charges: Charges = ()
    first: Attempt | None = None
    call: Call | None = None
    held_for: HeldFor | None = None

    def and_also(
        self, part: AttemptUsage, attempt: Attempt, call: Call, charges: Charges, held_for: HeldFor | None
    ) -> Parts:
        """Args: call, held_for: of the part after it; charges: of all parts up to it."""
        usage = TokenUsage(
            part.input_tokens, part.output_tokens, part.cached_tokens, part.usage_source, part.token_details
        )
        joined, cost_nanos = self.joined(usage, part.cost_nanos)
        return Parts(joined, cost_nanos, charges, self.first or attempt, call, held_for)

    def joined(self, usage: TokenUsage, cost_nanos: int) -> tuple[TokenUsage, int]:
        """With another part. One figure that was counted makes the sum a counted one."""
        if self.first is None:
            return usage, cost_nanos
        mine = self.usage
        total = TokenUsage(
            mine.input_tokens + usage.input_tokens,
            mine.output_tokens + usage.output_tokens,
            mine.cached_tokens + usage.cached_tokens,
            _source_of(mine.source, usage.source),
            summed(mine.token_details, usage.token_details),
        )
        return total, self.cost_nanos + cost_nanos

    def with_charges(self, charges: Charges) -> Charges:
        if not self.charges:
            return charges
        total = Counter(dict(self.charges))
        total.update(dict(charges))
        return tuple(total.items())


def _source_of(one: str, other: str) -> str:
    if one == other:
        return one
    return COUNTED if COUNTED in (one, other) else BOUNDED


NO_PARTS = Parts()
