"""The published formula by which machines of others are preferred among equal candidates, and nowhere else.

    exposure = 100 % + 50 % with trust + half of the percentage that the owner gives to causes

Two candidates are equal when a route, its strategy and its tiers do not tell them apart. Which of those goes first is
drawn by chance; exposure is the weight in that draw. An own machine, a price or a speed is never passed over by it.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet

from accounts.audit import Actor
from accounts.models import Organization
from billing.earnings.models import Programme
from billing.earnings.programmes import programme_of
from billing.earnings.trust import Trust, trust_of
from nodes import changes
from nodes.models import COMMUNITY, SHARED, Node

PLAIN, FOR_TRUST = 100, 50


def exposure_percent(*, is_trusted: bool, donated_percent: int) -> int:
    return PLAIN + FOR_TRUST * is_trusted + donated_percent // 2


def exposure_of(organization: Organization, now: datetime) -> int:
    """In percent, as it will be at the next hourly round."""
    if not settings.EARNINGS_EXPOSURE:
        return PLAIN
    return exposure_with(trust_of(organization, now), programme_of(organization))


def exposure_with(trust: Trust, programme: Programme) -> int:
    """The same of what is known already."""
    if not settings.EARNINGS_EXPOSURE:
        return PLAIN
    return exposure_percent(is_trusted=trust.suffices, donated_percent=programme.donated_percent)


def refresh(now: datetime) -> int:
    """Writes it to the machines that others may use. Returns: how many changed."""
    owners = Organization.objects.filter(pk__in=_offered().values("org_id"), deleted_at=None)
    return sum(_set(owner, exposure_of(owner, now)) for owner in owners)


def _set(owner: Organization, percent: int) -> int:
    if not _offered().filter(org=owner).exclude(exposure_percent=percent).exists():
        return 0
    with changes.changing(owner, Actor.system("earnings")) as held:
        rows = list(_offered().filter(org=held).exclude(exposure_percent=percent))
        Node.objects.filter(pk__in=[node.pk for node in rows]).update(exposure_percent=percent)
        changes.tell_guests({guest for node in rows for guest in changes.guests_of(node)})
    return len(rows)


def _offered() -> QuerySet[Node]:
    found: QuerySet[Node] = Node.objects.filter(visibility__in=(SHARED, COMMUNITY), revoked_at=None)
    return found
