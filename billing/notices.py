"""What those who pay for an organisation are told of by e-mail: a declined card, a reached cap, an ended payout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts import mail
from accounts.models import Membership, Organization
from accounts.roles import GRANTS, Permission
from billing.client import CENT_NANOS
from billing.models import AutoTopUp, Payout
from common.money import format_usd

WHO_PAYS = [role for role, may in GRANTS.items() if Permission.MANAGE_BILLING in may]


def tell_declined(rule: AutoTopUp, card: str) -> None:
    values = {
        "amount": format_usd(rule.amount_cents * CENT_NANOS),
        "card": card,
        "reason": rule.failure,
        "is_paused": not rule.is_on,
        "next_attempt_at": rule.next_attempt_at,
    }
    _after_commit(rule.org, "card_declined", "/billing", values)


def tell_cap_reached(rule: AutoTopUp, spent_cents: int, available_nanos: int) -> None:
    values = {
        "amount": format_usd(rule.amount_cents * CENT_NANOS),
        "cap": format_usd(rule.monthly_cap_cents * CENT_NANOS),
        "spent": format_usd(spent_cents * CENT_NANOS),
        "left": format_usd(available_nanos),
    }
    _after_commit(rule.org, "top_up_cap", "/billing/auto-top-up", values)


def tell_payout(payout: Payout) -> None:
    values = {
        "amount": format_usd(payout.cents * CENT_NANOS),
        "is_paid": payout.state == Payout.PAID,
        "reason": payout.reason,
        "destination": payout.destination,
    }
    _after_commit(payout.org, "payout", f"/payouts/{payout.public_id}", values)


def _after_commit(organization: Organization, template: str, path: str, values: Mapping[str, Any]) -> None:
    """A mail server that is away takes nothing back: the page says the same."""
    people = Membership.objects.of(organization).filter(role__in=WHO_PAYS, user__is_active=True)
    about = {"organization": organization.name, "url": f"{settings.PUBLIC_URL}{path}", **values}
    for member in people.select_related("user"):
        message = mail.Message(template, member.user.email, member.user.language, about)
        transaction.on_commit(lambda message=message: mail.send(message), robust=True)  # type: ignore[misc]
