"""What an organisation has paid and was paid, as rows, for tests of who may see it."""

from __future__ import annotations

from django.utils import timezone

from accounts.models import Organization
from billing.models import AutoTopUp, BillingDetails, Payee, Payout, PayoutBatch, SavedCard, TopUp


def paid_top_up(organization: Organization, mark: str = "x") -> TopUp:
    return TopUp.objects.create(
        org=organization, public_id=f"top_{mark}{organization.pk}", cents=2000, received_cents=2000,
        state=TopUp.PAID, paid_at=timezone.now(), payment_id=f"pi_{mark}{organization.pk}",
    )  # fmt: skip


def paid_out(organization: Organization, mark: str = "x") -> Payout:
    batch = PayoutBatch.objects.create(public_id=f"pb_{mark}{organization.pk}", frozen_at=timezone.now())
    payout = Payout.objects.create(
        org=organization, batch=batch, public_id=f"po_{mark}{organization.pk}", method=Payee.BANK, destination=mark,
        cents=3000, state=Payout.PAID, reference=f"bank:{mark}{organization.pk}", ended_at=timezone.now(),
    )  # fmt: skip
    payout.refresh_from_db()
    return payout


def ways_to_pay(organization: Organization, mark: str) -> None:
    """A card, a rule, details and a destination, each with the mark in it."""
    SavedCard.objects.create(org=organization, stripe_id=f"pm_{mark}", brand=mark, last4="4242", expires="12/2034")
    AutoTopUp.objects.create(org=organization, threshold_cents=1000, amount_cents=2000, monthly_cap_cents=5000)
    BillingDetails.objects.create(org=organization, name=mark)
    Payee.objects.create(org=organization, method=Payee.BANK, hint=mark, sealed=b"x", state=Payee.READY)
