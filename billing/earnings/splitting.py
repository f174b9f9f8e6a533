"""How an owner's share is divided: whole nano-USD, nothing lost, nothing made. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Choice:
    """A programme as it divides: what neither percentage takes is rewards, and the two come to no more than 100.
    `causes` are open causes with their weights, in the order of their ids."""

    exchanged_percent: int = 0
    donated_percent: int = 0
    causes: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a share, by what they go to; `donated` by the id of the cause, those that get nothing left out."""

    escrow: int = 0
    exchanged: int = 0
    donated: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.escrow + self.exchanged + sum(self.donated.values())


def split(nanos: int, choice: Choice) -> Split:
    """What is given and what is exchanged are each rounded down once, and what that leaves is rewards; of who wants
    no rewards at all it is exchanged. Without an open cause nothing is given: that part is rewards.

    Args: nanos: an owner's share of one request, not negative.
    """
    percent = choice.donated_percent if choice.causes else 0
    given = nanos * percent // 100
    has_rewards = choice.exchanged_percent + percent < 100
    exchanged = nanos * choice.exchanged_percent // 100 if has_rewards else nanos - given
    return Split(nanos - given - exchanged, exchanged, _by_weight(given, choice.causes) if given else {})


def _by_weight(nanos: int, causes: Sequence[tuple[int, int]]) -> dict[int, int]:
    """By largest remainder: each gets what its weight is due, rounded down; the left-over units go one by one to
    those who lost most by that, the lower id first among equals."""
    weights = sum(weight for _, weight in causes)
    parts = {cause: nanos * weight // weights for cause, weight in causes}
    left = nanos - sum(parts.values())
    by_loss = sorted(causes, key=lambda one: (-(nanos * one[1] % weights), one[0]))
    for cause, _ in by_loss[:left]:
        parts[cause] += 1
    return {cause: part for cause, part in parts.items() if part}
