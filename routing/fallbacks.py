"""The order of what is fallen back to: what a rule says comes after which failure, and that it is come to at all."""

from __future__ import annotations

import msgspec

from routing.plans import Candidate, Rejected
from routing.rules import Fallback, kinds_of

FALLBACK_TIERS = 1000
"""More than a rule's own tiers reach, so that a fallback is always a tier of its own."""


def fallen_back_to(
    fallback: Fallback, found: list[Candidate], before: list[Candidate], begin: int, rejected: list[Rejected]
) -> list[Candidate]:
    """What a fallback adds to a plan.

    Args:
        found: its targets that may serve.
        before: what the plan has already; from `begin` on it is of the same rule.
        rejected: gets those that do not come because nothing before them can fail.
    """
    present = {candidate.target.id for candidate in before}
    fresh = [candidate for candidate in found if candidate.target.id not in present]
    is_first = len(before) == begin
    if is_first and not fallback.comes_untried:
        rejected += [Rejected(candidate.target.name, "other_cause") for candidate in fresh]
        return []
    after = None if is_first else kinds_of(fallback.causes)
    tier = FALLBACK_TIERS + (0 if is_first else before[-1].tier)
    return [msgspec.structs.replace(candidate, tier=tier, after=after) for candidate in fresh]


def in_tier(candidate: Candidate, tier: int) -> Candidate:
    return msgspec.structs.replace(candidate, tier=tier)


def within_reach(candidates: list[Candidate], most_attempts: int) -> None:
    """The last attempt is for the next tier where the first would take them all: what was told to be fallen back to
    must not stay out of reach because there were many to choose from at first."""
    last = most_attempts - 1
    if candidates[last].tier != candidates[0].tier:
        return
    heads: dict[int, Candidate] = {}
    for candidate in candidates[last:]:
        if candidate.tier != candidates[0].tier:
            heads.setdefault(candidate.tier, candidate)
            if candidate.after is None:
                break
    moved = list(heads.values())
    candidates[last:] = [*moved, *(candidate for candidate in candidates[last:] if candidate not in moved)]
