"""Organisations that have earned something and can be paid."""

from __future__ import annotations

from django.utils import timezone

from accounts.models import Organization
from billing.earnings.models import Lot
from billing.models import Charge, Payee, PriceVersion
from demo.payments import connect
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.transfers import post
from tests.fakes.payments import PaymentDouble

DOLLAR = 10**9
TARGETS_FROM = 1_000_000


def earn(organization: Organization, nanos: int, number: int = 0, *, is_matured: bool = True) -> None:
    """One request for that price, charged, earned and matured, as the books say it. Its caller paid from a gift."""
    promo, wallet = ensure_account(kinds.PROMO), ensure_account(kinds.WALLET, organization)
    escrow = ensure_account(kinds.REWARDS_ESCROW, organization)
    rewards = ensure_account(kinds.REWARDS_AVAILABLE, organization)
    name = f"{organization.public_id}:{number}"
    post(Draft(f"gift:{name}", "credit", {promo.pk: -nanos, wallet.pk: nanos}))
    settled = post(Draft(f"settled:{name}", "settlement", {wallet.pk: -nanos, escrow.pk: nanos}))
    if is_matured:
        post(Draft(f"matured:{name}", "maturity", {escrow.pk: -nanos, rewards.pk: nanos}))
    target_id, now = -(TARGETS_FROM + 10 * organization.pk + number), timezone.now()
    PriceVersion.objects.create(
        target_id=target_id, version=1, owner_id=organization.pk, input_nanos=0, output_nanos=0, request_nanos=nanos
    )
    Charge.objects.create(
        request_id=f"req_{name}"[:40], revision=0, started_at=now, org_id=organization.pk, target_id=target_id,
        price_version=1, input_tokens=0, cached_tokens=0, output_tokens=0, charge_nanos=nanos, owner_nanos=nanos,
        owner_id=organization.pk, transfer_id=settled.id,
    )  # fmt: skip
    Lot.objects.create(
        org=organization, target_id=target_id, day=now.date(), requests=1, paid=nanos, earned=nanos, escrow=nanos,
        matured=nanos if is_matured else 0,
    )  # fmt: skip


def account_at(double: PaymentDouble, organization: Organization, status: str = connect.ACTIVE) -> Payee:
    """Chosen and verified, as after the onboarding."""
    made = connect.create_account(double.state, {"configuration": {"recipient": {}}})
    connect.set_status(double.state, made["id"], status)
    return Payee.objects.create(
        org=organization, method=Payee.STRIPE, stripe_id=made["id"], state=Payee.READY, country="TH"
    )
