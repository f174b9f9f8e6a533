"""Credits that a person's first organisation begins with, so that its first request is served."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings

from accounts.audit import Actor
from accounts.models import Membership, Organization, User
from accounts.roles import OWNER
from billing import credits
from common.money import nanos_from_usd
from ledger.models import Transfer

PURPOSE = "sign-up"


def welcome(sender: object, organization: Organization, user: User, **_facts: Any) -> None:
    """Once for each person, however many organisations they make, closed ones included."""
    nanos = nanos_from_usd(Decimal(str(settings.WELCOME_CREDIT_USD)))
    if nanos <= 0 or _was_welcomed(user):
        return
    credits.give(organization, Actor.system("billing"), nanos, purpose=PURPOSE, reason="Welcome")


def _was_welcomed(user: User) -> bool:
    own = Membership.objects.filter(user=user, role=OWNER).values_list("org__public_id", flat=True)
    return Transfer.objects.filter(business_id__in=[credits.name_of(id, PURPOSE) for id in own]).exists()
