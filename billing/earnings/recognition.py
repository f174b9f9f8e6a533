"""Badges and the leaderboard: of those who want to be seen, under the name that they chose, and of nobody else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Sum

from accounts.models import Organization
from billing.earnings.models import Donation, Lot, Programme
from billing.earnings.trust import Record, Trust, records_of, trusts_of

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
    return badges_of_all([organization.pk], now)[organization.pk]


def badges_of_all(org_ids: Collection[int], now: datetime) -> dict[int, tuple[str, ...]]:
    records = records_of(org_ids, now)
    givers = set(Programme.objects.filter(org__in=org_ids, donated_percent__gt=0).values_list("org_id", flat=True))
    trusts = trusts_of(org_ids, now, records)
    return {org_id: badges_for(records[org_id], trusts[org_id], gives=org_id in givers) for org_id in org_ids}


def badges_for(record: Record, trust: Trust, *, gives: bool) -> tuple[str, ...]:
    return _badges(record.requests, record.tokens, record.days, trust.suffices, gives)


def _badges(requests: int, tokens: int, days: int, is_trusted: bool, gives: bool) -> tuple[str, ...]:
    earned = {
        FIRST_ANSWER: requests > 0,
        MILLION: tokens >= 1_000_000,
        HUNDRED_MILLION: tokens >= 100_000_000,
        MONTH: days >= 30,
        TRUSTED: requests > 0 and is_trusted,
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
    gifts = Donation.objects.filter(lot__org__in=names).order_by().values_list("lot__org_id")
    given = dict(gifts.annotate(given=Sum(F("nanos") - F("taken"))))
    ranked = sorted(sums, key=lambda row: (-(row["i"] + row["o"]), names[row["org_id"]].public_name))[:most]
    badges = badges_of_all([row["org_id"] for row in ranked], now)
    return [
        Standing(
            rank,
            names[row["org_id"]].public_name,
            row["r"],
            row["i"] + row["o"],
            given.get(row["org_id"], 0),
            badges[row["org_id"]],
        )
        for rank, row in enumerate(ranked, start=1)
    ]
