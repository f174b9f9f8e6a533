"""What the cache saved, from the rows of usage: how often it was asked, how often it answered, and at what worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, Sum

from accounts.models import Organization
from metering.models import Usage
from metering.usage import HIT


@dataclass(frozen=True, slots=True)
class Savings:
    """`name` is the route's, or the model's where no route was asked for; "" for the sum of all."""

    name: str
    requests: int
    hits: int
    saved_nanos: int


def savings(org: Organization, from_: datetime, to: datetime) -> list[Savings]:
    """Of [from_, to) and what a policy covers: the sum first, then by name, those that saved most first."""
    rows = Usage.objects.of(org).filter(started_at__gte=from_, started_at__lt=to).exclude(cache="")
    grouped = rows.values("route", "model").annotate(
        requests=Count("request_id"), hits=Count("request_id", filter=Q(cache=HIT)), saved=Sum("saved_nanos")
    )
    found: dict[str, Savings] = {}
    total = Savings("", 0, 0, 0)
    for row in grouped.order_by():
        name = row["route"] or row["model"]
        found[name] = _added(found.get(name, Savings(name, 0, 0, 0)), row["requests"], row["hits"], row["saved"])
        total = _added(total, row["requests"], row["hits"], row["saved"])
    return [total, *sorted(found.values(), key=lambda one: (-one.saved_nanos, -one.hits, one.name))]


def _added(one: Savings, requests: int, hits: int, saved_nanos: int) -> Savings:
    return Savings(one.name, one.requests + requests, one.hits + hits, one.saved_nanos + saved_nanos)
