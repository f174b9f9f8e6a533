"""Money on its way out: who is paid where, what was frozen together, and each payout through its states."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.tenancy import TenantModel


class Payee(TenantModel):
    """Where an organisation is paid. Nothing is sent before it is `ready`.

    By Stripe: `stripe_id` is the account, and Stripe says whether it takes transfers. By bank: `sealed` is holder,
    account and bank under the key ring, `hint` what may be shown of it, and the operator says that it is right.
    """

    STRIPE, BANK = "stripe", "bank"
    INCOMPLETE, READY = "incomplete", "ready"

    org = models.OneToOneField("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    method = models.CharField(max_length=10)
    state = models.CharField(max_length=12, default=INCOMPLETE)
    stripe_id = models.CharField(max_length=80, unique=True, null=True)
    country = models.CharField(max_length=2, blank=True)
    sealed = models.BinaryField(null=True)
    hint = models.CharField(max_length=80, blank=True)
    is_monthly = models.BooleanField(default=True)
    problem = models.CharField(max_length=200, blank=True)
    looked_at = models.DateTimeField(null=True)  # when the round last asked Stripe about it
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.method} of {self.org_id}"


class PayoutBatch(models.Model):
    """What is paid together: a month's (`period`, "2026-11"), or one that somebody asked for."""

    public_id = models.CharField(max_length=40, unique=True)
    period = models.CharField(max_length=7, unique=True, null=True)
    created_at = models.DateTimeField(db_default=Now())
    frozen_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.period or self.public_id


class Payout(TenantModel):
    """So much to one organisation. Its money is held from `waiting` until it is `paid` or `returned`.

    `sending` says that a call may have been made whose outcome is not known: nothing is sent again before Stripe was
    asked what it has under this payout's id. `key_number` makes the idempotency key, and changes only after a
    refusal. `reference` is Stripe's transfer, or the bank's, of which `reversed_cents` came back.
    """

    WAITING, SENDING, PAID, RETURNED = "waiting", "sending", "paid", "returned"
    OPEN = (WAITING, SENDING)

    org = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    batch = models.ForeignKey(PayoutBatch, on_delete=models.PROTECT, related_name="payouts")
    public_id = models.CharField(max_length=40, unique=True)
    method = models.CharField(max_length=10)
    destination = models.CharField(max_length=80)
    cents = models.BigIntegerField()
    state = models.CharField(max_length=10, default=WAITING)
    attempts = models.IntegerField(default=0)
    key_number = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    reference = models.CharField(max_length=80, unique=True, null=True)
    reversed_cents = models.BigIntegerField(default=0)
    reason = models.CharField(max_length=80, blank=True)
    asked_by = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(cents__gt=0, reversed_cents__gte=0, reversed_cents__lte=F("cents")),
                name="billing_payout_positive",
            ),
            models.CheckConstraint(
                condition=~Q(state="paid") | Q(reference__isnull=False, ended_at__isnull=False),
                name="billing_payout_paid_is_confirmed",
            ),
            models.UniqueConstraint(fields=["batch", "org"], name="billing_payout_once_in_a_batch"),
            models.UniqueConstraint(
                fields=["org"], condition=Q(state__in=("waiting", "sending")), name="billing_one_open_payout"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(state__in=("waiting", "sending")),
                name="billing_payout_open",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id
