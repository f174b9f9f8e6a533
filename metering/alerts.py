"""Tells an organisation's owners and admins that a budget is nearly or wholly used, once per window and mark."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts import audit, mail
from accounts.changes import locked
from accounts.errors import OrganizationGone
from accounts.models import Budget, Membership
from accounts.roles import ADMIN, OWNER
from accounts.scopes import TOKENS
from accounts.subjects import label_of
from common.money import format_usd
from metering.models import BudgetWindow
from metering.standing import REACHED_AT, Standing, standings

ACTOR = audit.Actor.system("budgets")


def watch_budgets() -> int:
    """Returns: how many marks were told."""
    return sum(_tell(row) for row in _suspects(timezone.now()))


def _suspects(now: datetime) -> list[BudgetWindow]:
    """Windows of which more is used than was told, as far as the figures themselves can say."""
    rows = BudgetWindow.objects.filter(Q(ends_at=None) | Q(starts_at__lte=now, ends_at__gt=now))
    unspent = rows.filter(alerted_percent__lt=REACHED_AT).select_related("account", "org")
    # Of a budget that was lowered more may be allotted than it says: all that is not spent is asked below.
    return [*unspent.filter(Q(overrun__gt=0) | Q(allotted__gt=F("account__balance")))]


def _tell(row: BudgetWindow) -> bool:
    about = {"limit__scope": row.scope, "limit__subject": row.subject, "unit": row.unit, "window": row.window}
    budget = Budget.objects.of(row.org).filter(**about).select_related("limit").first()
    if budget is None:
        return False
    (standing,) = standings([budget], [row])
    if standing.mark <= row.alerted_percent:
        return False
    try:
        with transaction.atomic():
            organization = locked(row.org_id)
            told = BudgetWindow.objects.filter(pk=row.pk, alerted_percent__lt=standing.mark)
            if not told.update(alerted_percent=standing.mark):
                return False
            audit.record(
                organization,
                ACTOR,
                "budget.reached" if standing.mark == REACHED_AT else "budget.nearly_reached",
                row.scope,
                (row.subject or organization.public_id)[:60],
                label=label_of(standing.limit) or organization.name,
                after={"percent": standing.percent, "used": said(standing, standing.used), **_facts(standing)},
            )
            for message in _messages(row, standing):
                transaction.on_commit(lambda message=message: mail.send(message), robust=True)  # type: ignore[misc]
    except OrganizationGone:
        return False
    return True


def _facts(standing: Standing) -> dict[str, str]:
    return {
        "budget": said(standing, standing.amount),
        "window": standing.window,
        "when_reached": standing.limit.when_reached,
    }


def _messages(row: BudgetWindow, standing: Standing) -> list[mail.Message]:
    people = Membership.objects.of(row.org).filter(role__in=(OWNER, ADMIN), user__is_active=True)
    values = {
        "organization": row.org.name,
        "is_reached": standing.mark == REACHED_AT,
        "percent": standing.percent,
        "scope": row.scope,
        "subject": label_of(standing.limit),
        "used": said(standing, standing.used),
        "ends_at": standing.ends_at,
        "url": f"{settings.PUBLIC_URL}/quotas",
        **_facts(standing),
    }
    return [
        mail.Message("budget", member.user.email, member.user.language, values)
        for member in people.select_related("user")
    ]


def said(standing: Standing, amount: int) -> str:
    return f"{amount:,}" if standing.unit == TOKENS else format_usd(amount)
