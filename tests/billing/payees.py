"""Organisations that have earned something and can be paid."""

from __future__ import annotations

from accounts.models import Organization
from billing.models import Payee
from demo.payments import connect
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.transfers import post
from tests.fakes.payments import PaymentDouble

DOLLAR = 10**9


def earn(organization: Organization, nanos: int, number: int = 0) -> None:
    """As when rewards mature, without the lots behind them, and so by another kind of transfer."""
    rewards, revenue = ensure_account(kinds.REWARDS_AVAILABLE, organization), ensure_account(kinds.REVENUE)
    moves = {revenue.pk: -nanos, rewards.pk: nanos}
    post(Draft(f"matured:{organization.public_id}:{number}", "test_funding", moves))


def account_at(double: PaymentDouble, organization: Organization, status: str = connect.ACTIVE) -> Payee:
    """Chosen and verified, as after the onboarding."""
    made = connect.create_account(double.state, {"configuration": {"recipient": {}}})
    connect.set_status(double.state, made["id"], status)
    return Payee.objects.create(
        org=organization, method=Payee.STRIPE, stripe_id=made["id"], state=Payee.READY, country="TH"
    )
