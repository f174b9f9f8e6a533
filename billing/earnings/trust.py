"""How far an owner's machines are believed, by a formula that is published: see docs/earnings.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import Q, Sum

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


def trust_of(organization: Organization, now: datetime) -> Trust:
    return trusts_of([organization.pk], now)[organization.pk]


def trusts_of(org_ids: Collection[int], now: datetime) -> dict[int, Trust]:
    """Doubts that somebody looked into and dismissed do not count, nor machines that merely did not answer."""
    since = (now - OVER).date()
    lots = Lot.objects.filter(org__in=org_ids).order_by().values_list("org_id")
    rows = lots.annotate(Sum("requests"), recent=Sum("requests", filter=Q(day__gte=since)))
    sums: dict[int, tuple[int, int]] = {org_id: (total, recent or 0) for org_id, total, recent in rows}
    doubted = _doubted(org_ids, since)
    return {org_id: Trust(*sums.get(org_id, (0, 0)), doubted[org_id]) for org_id in org_ids}


def _doubted(org_ids: Collection[int], since: date) -> Counter[int]:
    cases = Case.objects.filter(org__in=org_ids, state=Case.DISMISSED, lot__day__gte=since)
    dismissed = set(cases.values_list("node_id", "upstream_id", "lot__day"))
    doubts = NodeDoubt.objects.filter(org__in=org_ids, day__gte=since).exclude(kind=NO_ANSWER)
    found: Counter[int] = Counter()
    for org_id, times, *place in doubts.values_list("org_id", "times", "node_id", "upstream_id", "day"):
        if tuple(place) not in dismissed:
            found[org_id] += times
    return found
