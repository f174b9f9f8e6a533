"""How credits come in beside a single order: a saved card, automatic top-ups, vouchers; and who is billed."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.tenancy import TenantModel


class SavedCard(TenantModel):
    """A card that Stripe keeps, of which we know what its owner recognises it by."""

    org = models.OneToOneField("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    stripe_id = models.CharField(max_length=80)
    brand = models.CharField(max_length=30)
    last4 = models.CharField(max_length=4)
    expires = models.CharField(max_length=7)
    saved_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.brand} {self.last4}"


class AutoTopUp(TenantModel):
    """Below `threshold_cents`, buy `amount_cents`, at most `monthly_cap_cents` in a calendar month (UTC).

    `failures` in a row put off the next attempt; after the last of them, or when the bank wants its customer, it is
    off until a person turns it on again. `failure` is why.
    """

    org = models.OneToOneField("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    is_on = models.BooleanField(default=False)
    threshold_cents = models.BigIntegerField()
    amount_cents = models.BigIntegerField()
    monthly_cap_cents = models.BigIntegerField()
    failures = models.SmallIntegerField(default=0)
    failure = models.CharField(max_length=60, blank=True)
    next_attempt_at = models.DateTimeField(null=True)
    cap_told_at = models.DateTimeField(null=True)  # when the month's cap held something back last, and was told
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(threshold_cents__gt=0, amount_cents__gt=0, monthly_cap_cents__gte=F("amount_cents")),
                name="billing_auto_top_up_sane",
            ),
        ]

    def __str__(self) -> str:
        return f"automatic top-up of {self.org_id}"


class BillingDetails(TenantModel):
    """Whom invoices and receipts name."""

    org = models.OneToOneField("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=120)
    email = models.EmailField(blank=True)
    line1 = models.CharField(max_length=120, blank=True)
    line2 = models.CharField(max_length=120, blank=True)
    city = models.CharField(max_length=80, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    country = models.CharField(max_length=2, blank=True)
    tax_id = models.CharField(max_length=30, blank=True)

    def __str__(self) -> str:
        return self.name


class Voucher(models.Model):
    """A code for credits. The code itself is told once, to who made it; kept is its digest."""

    public_id = models.CharField(max_length=40, unique=True)
    digest = models.BinaryField(unique=True)
    hint = models.CharField(max_length=8)
    nanos = models.BigIntegerField()
    uses = models.IntegerField()
    used = models.IntegerField(default=0)
    reason = models.CharField(max_length=120)
    made_by = models.CharField(max_length=120)
    expires_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_by = models.CharField(max_length=254, blank=True, db_default="")
    batch = models.CharField(max_length=40, blank=True, db_default="", db_index=True)  # of those made at once
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(nanos__gt=0, uses__gt=0, used__gte=0, used__lte=F("uses")), name="billing_voucher_sane"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class VoucherUse(TenantModel):
    """Once for each organisation."""

    org = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    voucher = models.ForeignKey(Voucher, on_delete=models.PROTECT, related_name="redeemed")
    used_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["voucher", "org"], name="billing_voucher_once_each")]

    def __str__(self) -> str:
        return f"{self.voucher_id} by {self.org_id}"
