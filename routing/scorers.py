"""In which order candidates are tried: a score per target, lower first. One scorer per strategy name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from common.rates import tier_at
from providers.schema import BYTES_PER_TOKEN, Call
from providers.targets import Target
from routing.health import Health, weighted_key

TOKENS_PER_PRICE = 1_000_000
EXPECTED_OUTPUT_TOKENS = 400
_GOLDEN_RATIO = 0.6180339887498949

Scorer = Callable[[Call, Target, int, Health], float]
"""Called with the call, the target, the weight of its leg, and what is known of its health."""


def expected_cost_nanos(call: Call, target: Target) -> float:
    """What this call will probably cost there: the prompt's estimate and the output's, bounded by max_tokens."""
    if target.price is None:
        return float("inf")
    input_tokens = call.prompt_bytes / BYTES_PER_TOKEN
    output_tokens = min(call.max_tokens or EXPECTED_OUTPUT_TOKENS, EXPECTED_OUTPUT_TOKENS)
    rates = target.price if target.price.finer is None else tier_at(target.price, int(input_tokens))
    tokens_nanos = input_tokens * rates.input_nanos + output_tokens * rates.output_nanos
    return tokens_nanos / TOKENS_PER_PRICE + target.price.request_nanos


def by_priority(call: Call, target: Target, weight: int, health: Health) -> float:
    return target.priority


def by_weight(call: Call, target: Target, weight: int, health: Health) -> float:
    return weighted_key(weight)


def by_cost(call: Call, target: Target, weight: int, health: Health) -> float:
    return expected_cost_nanos(call, target)


def by_first_token(call: Call, target: Target, weight: int, health: Health) -> float:
    """A target that was never measured goes first, to be measured."""
    ttft_s = health.speed(target.id).ttft_s
    return ttft_s if ttft_s is not None else -1.0


def by_throughput(call: Call, target: Target, weight: int, health: Health) -> float:
    rate = health.speed(target.id).tokens_per_s
    return -rate if rate is not None else float("-inf")


def by_load(call: Call, target: Target, weight: int, health: Health) -> float:
    return health.speed(target.id).in_flight / max(weight, 1)


def by_session(call: Call, target: Target, weight: int, health: Health) -> float:
    """Rendezvous hashing: one session stays with one target, and only its share moves when targets change."""
    digest = hashlib.blake2b(f"{call.session or call.prompt_bytes}|{target.id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / max(weight, 1)


class RoundRobin:
    """Each model's targets in turn. The score is the distance from the one whose turn it is."""

    def __init__(self) -> None:
        self._turns: dict[str, int] = {}

    def copy(self) -> RoundRobin:
        """One that knows whose turn it is and whose turns are its own."""
        other = RoundRobin()
        other._turns = self._turns.copy()
        return other

    def rotated(self, model: str, size: int) -> int:
        """The index that goes first this time."""
        turn = self._turns.get(model, 0)
        self._turns[model] = turn + 1
        return turn % size


class FairShares:
    """Draws in proportion to weights, with far less scatter than chance.

    The fractional parts of multiples of the golden ratio fill the unit interval evenly, so that after 10,000 draws
    a share is off by a few requests where chance would be off by a hundred.
    """

    def __init__(self) -> None:
        self._places: dict[str, float] = {}

    def copy(self) -> FairShares:
        other = FairShares()
        other._places = self._places.copy()
        return other

    def drawn(self, model: str, weights: Sequence[int]) -> int:
        """The index that goes first this time."""
        place = self._places[model] = (self._places.get(model, 0.0) + _GOLDEN_RATIO) % 1.0
        left = place * sum(weights)
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return index
        return len(weights) - 1


SCORERS: dict[str, Scorer] = {
    "priority": by_priority,
    "weighted": by_weight,
    "cheapest": by_cost,
    "fastest": by_first_token,
    "throughput": by_throughput,
    "least_busy": by_load,
    "sticky": by_session,
    "round_robin": by_priority,
}

STRATEGIES = tuple(name for name in SCORERS if name != "throughput")
