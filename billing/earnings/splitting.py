"""How an owner's share is divided: whole nano-USD, nothing lost, nothing made. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from billing.earnings.models import EXCHANGE, MISSION, REWARDS


@dataclass(frozen=True, slots=True)
class Choice:
    """A programme as it divides. `causes` are open causes with their weights, in the order of their ids."""

    kind: str = REWARDS
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
    """What is given is rounded down once; the rest stays the owner's. Without an open cause nothing is given.

    Args: nanos: an owner's share of one request, not negative.
    """
    if choice.kind == EXCHANGE:
        return Split(exchanged=nanos)
    if choice.kind != MISSION or not choice.causes:
        return Split(escrow=nanos)
    given = nanos * choice.donated_percent // 100
    return Split(escrow=nanos - given, donated=_by_weight(given, choice.causes))


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
