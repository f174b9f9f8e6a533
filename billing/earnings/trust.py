"""How far an owner's machines are believed, by a formula that is published: see docs/earnings.md."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

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
    """Doubts that somebody looked into and dismissed do not count, nor machines that merely did not answer."""
    since = (now - OVER).date()
    sums: dict[str, Any] = Lot.objects.of(organization).aggregate(
        all=Sum("requests"), recent=Sum("requests", filter=Q(day__gte=since))
    )
    doubts = NodeDoubt.objects.of(organization).filter(day__gte=since).exclude(kind=NO_ANSWER)
    dismissed = set(
        Case.objects.of(organization).filter(state=Case.DISMISSED, lot__day__gte=since)
        .values_list("node_id", "upstream_id", "lot__day")
    )  # fmt: skip
    doubted = sum(
        times
        for node_id, upstream_id, day, times in doubts.values_list("node_id", "upstream_id", "day", "times")
        if (node_id, upstream_id, day) not in dismissed
    )
    return Trust(sums["all"] or 0, sums["recent"] or 0, doubted)
