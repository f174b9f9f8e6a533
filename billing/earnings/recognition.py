"""Badges and the leaderboard: of those who want to be seen, under the name that they chose, and of nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum

from accounts.models import Organization
from billing.earnings.models import MISSION, Donation, Lot, Programme
from billing.earnings.trust import trust_of

OVER = timedelta(days=30)
FIRST_ANSWER, MILLION, HUNDRED_MILLION, MONTH, TRUSTED, GIVER = (
    "first_answer",
    "million_tokens",
    "hundred_million_tokens",
    "thirty_days",
    "trusted",
    "giver",
)


@dataclass(frozen=True, slots=True)
class Standing:
    """One line of the leaderboard: what was served for others in the last 30 days. `donated` is of all time."""

    rank: int
    name: str
    requests: int
    tokens: int
    donated: int
    badges: tuple[str, ...]


def badges_of(organization: Organization, now: datetime) -> tuple[str, ...]:
    """For its own page too, where nobody else sees them."""
    lots = Lot.objects.of(organization)
    sums = lots.aggregate(inputs=Sum("input_tokens"), outputs=Sum("output_tokens"), requests=Sum("requests"))
    tokens, requests = (sums["inputs"] or 0) + (sums["outputs"] or 0), sums["requests"] or 0
    gives = Programme.objects.of(organization).filter(kind=MISSION).exists()
    earned = {
        FIRST_ANSWER: requests > 0,
        MILLION: tokens >= 1_000_000,
        HUNDRED_MILLION: tokens >= 100_000_000,
        MONTH: lots.values("day").distinct().count() >= 30,
        TRUSTED: requests > 0 and trust_of(organization, now).suffices,
        GIVER: gives,
    }
    return tuple(name for name, is_earned in earned.items() if is_earned)


def leaderboard(now: datetime, most: int = 50) -> list[Standing]:
    """The most tokens first; equal ones by name."""
    public = Programme.objects.filter(is_public=True, org__deleted_at=None).select_related("org")
    names = {programme.org_id: programme for programme in public}
    since = (now - OVER).date()
    lots = Lot.objects.filter(org__in=names, day__gte=since).values("org_id").order_by()
    sums = lots.annotate(r=Sum("requests"), i=Sum("input_tokens"), o=Sum("output_tokens"))
    given = dict(
        Donation.objects.filter(lot__org__in=names).values_list("lot__org_id").annotate(Sum("nanos"), Sum("taken"))
        .values_list("lot__org_id", Sum("nanos") - Sum("taken"))
    )  # fmt: skip
    ranked = sorted(sums, key=lambda row: (-(row["i"] + row["o"]), names[row["org_id"]].public_name))[:most]
    return [
        Standing(
            rank,
            names[row["org_id"]].public_name,
            row["r"],
            row["i"] + row["o"],
            given.get(row["org_id"], 0),
            badges_of(names[row["org_id"]].org, now),
        )
        for rank, row in enumerate(ranked, start=1)
    ]
