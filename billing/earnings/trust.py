"""How far an owner's machines are believed, by a formula that is published: see docs/earnings.md."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, Sum
from django.db.models.functions import Coalesce

from accounts.models import Organization
from billing.earnings.models import Case, Lot
from nodes.models import NodeDoubt
from nodes.recount import NO_ANSWER

OVER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Trust:
    """`requests` were answered for others in all, `recent` of them in the last 30 days, `doubted` of those."""

    requests: int
    recent: int
    doubted: int

    @property
    def percent(self) -> float:
        """Rounded down to hundredths, so that it is never called better than it is."""
        if self.recent == 0:
            return 100.0
        return max(0, 10_000 * (self.recent - self.doubted) // self.recent) / 100

    @property
    def requests_missing(self) -> int:
        return max(0, int(settings.EARNINGS_TRUST_REQUESTS) - self.requests)

    @property
    def suffices(self) -> bool:
        return self.requests_missing == 0 and self.percent >= settings.EARNINGS_TRUST_PERCENT


@dataclass(frozen=True, slots=True)
class Record:
    """What an owner's machines ever answered for others; `recent` requests in the last 30 days."""

    requests: int = 0
    recent: int = 0
    tokens: int = 0
    days: int = 0


def trust_of(organization: Organization, now: datetime) -> Trust:
    return trusts_of([organization.pk], now)[organization.pk]


def trusts_of(
    org_ids: Collection[int], now: datetime, records: Mapping[int, Record] | None = None
) -> dict[int, Trust]:
    """Doubts that somebody looked into and dismissed do not count, nor machines that merely did not answer.

    Args:
        records: of those organisations, where the caller read them already.
    """
    known = records_of(org_ids, now) if records is None else records
    doubted = _doubted(org_ids, (now - OVER).date())
    return {org_id: Trust(known[org_id].requests, known[org_id].recent, doubted.get(org_id, 0)) for org_id in org_ids}


def records_of(org_ids: Collection[int], now: datetime) -> dict[int, Record]:
    """One for each, also for those that answered nothing yet."""
    lots = Lot.objects.filter(org__in=org_ids).order_by().values_list("org_id")
    recent = Coalesce(Sum("requests", filter=Q(day__gte=(now - OVER).date())), 0)
    answered = Sum("input_tokens") + Sum("output_tokens")
    rows = lots.annotate(all=Sum("requests"), recent=recent, answered=answered, days=Count("day", distinct=True))
    found = {org_id: Record(*sums) for org_id, *sums in rows}
    return {org_id: found.get(org_id, Record()) for org_id in org_ids}


def _doubted(org_ids: Collection[int], since: date) -> dict[int, int]:
    dismissed = Case.objects.filter(
        state=Case.DISMISSED, node=OuterRef("node"), upstream_id=OuterRef("upstream_id"), lot__day=OuterRef("day")
    )
    doubts = NodeDoubt.objects.filter(org__in=org_ids, day__gte=since).exclude(kind=NO_ANSWER)
    return dict(doubts.exclude(Exists(dismissed)).order_by().values_list("org_id").annotate(Sum("times")))
