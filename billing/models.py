"""What billing remembers: prices as they were, what each request was charged, what was paid."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.tenancy import TenantModel
from billing.monthly_models import MonthlyStatement

__all__ = ["MonthlyStatement"]


class PriceVersion(models.Model):
    """One price of one target, in force from `valid_from` until `valid_until`. Nano-USD per million tokens.

    Written by triggers on the rows that the targets come from, so that no price is ever charged that is not here.
    `target_id` is that of the usage rows: a model of a connection, or, negative, of a machine. `owner_id` is whose it
    is: an organisation's, or the platform's where it is empty. Without `input_nanos` no price was known. `finer` is a
    `common.rates.FinerRates`: rates of kinds of tokens, and tiers of long prompts.
    """

    target_id = models.BigIntegerField()
    version = models.IntegerField()
    owner_id = models.BigIntegerField(null=True)
    valid_from = models.DateTimeField(db_default=Now())
    valid_until = models.DateTimeField(null=True)
    input_nanos = models.BigIntegerField(null=True)
    cached_input_nanos = models.BigIntegerField(null=True)
    output_nanos = models.BigIntegerField(null=True)
    request_nanos = models.BigIntegerField(default=0)
    finer = models.JSONField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["target_id", "version"], name="billing_price_version_once")]

    def __str__(self) -> str:
        return f"price {self.version} of target {self.target_id}"


class Charge(models.Model):
    """What one request cost whom, and who gets it. Append-only; nano-USD.

    Revision 0 is its settlement; each further one is a re-rating and holds the differences. What neither the
    provider nor the machine's owner gets of `charge_nanos` is the platform's; the wallet did not cover
    `written_off_nanos` of it, and `tokens_nanos` were paid by what own machines had earned.
    """

    pk = models.CompositePrimaryKey("request_id", "revision")
    request_id = models.CharField(max_length=40)
    revision = models.SmallIntegerField()
    started_at = models.DateTimeField()
    org_id = models.BigIntegerField()
    target_id = models.BigIntegerField()
    price_version = models.IntegerField()
    input_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    charge_nanos = models.BigIntegerField()
    written_off_nanos = models.BigIntegerField(default=0)
    provider_nanos = models.BigIntegerField(default=0)
    owner_nanos = models.BigIntegerField(default=0)
    owner_id = models.BigIntegerField(null=True)
    tokens_nanos = models.BigIntegerField(default=0, db_default=0)
    transfer_id = models.BigIntegerField()
    token_details = models.JSONField(null=True)

    class Meta:
        indexes = [models.Index(fields=["target_id", "started_at"], name="billing_charge_target")]
        constraints = [
            models.CheckConstraint(
                condition=Q(revision__gt=0) | Q(charge_nanos__gte=0, written_off_nanos__gte=0, owner_nanos__gte=0),
                name="billing_charge_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.charge_nanos} for {self.request_id}"


class Unsettled(models.Model):
    """A request that could not be charged: why, and what it used. Nobody paid for it."""

    request_id = models.CharField(max_length=40, primary_key=True)
    started_at = models.DateTimeField()
    org_id = models.BigIntegerField()
    target_id = models.BigIntegerField()
    price_version = models.IntegerField(null=True)
    reason = models.CharField(max_length=30)
    noted_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["noted_at"], name="billing_unsettled_noted")]

    def __str__(self) -> str:
        return f"{self.request_id}: {self.reason}"


class Customer(TenantModel):
    """Whom Stripe knows an organisation as."""

    org = models.OneToOneField("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    stripe_id = models.CharField(max_length=80, unique=True)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.stripe_id


class TopUp(TenantModel):
    """An order of credits. It says whose they are; what was paid is Stripe's to say."""

    PENDING, PAID, FAILED = "pending", "paid", "failed"

    org = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    public_id = models.CharField(max_length=40, unique=True)
    cents = models.BigIntegerField()
    state = models.CharField(max_length=10, default=PENDING)
    checkout_url = models.TextField(blank=True)
    payment_id = models.CharField(max_length=80, unique=True, null=True)
    received_cents = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    paid_at = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)  # when Stripe was last asked about it, without having told
    is_automatic = models.BooleanField(default=False)
    invoice_id = models.CharField(max_length=80, blank=True, db_default="")  # of those that no Checkout invoices
    failure = models.CharField(max_length=60, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(cents__gt=0), name="billing_top_up_positive"),
            models.UniqueConstraint(
                fields=["org"], condition=Q(is_automatic=True, state="pending"), name="billing_one_automatic_top_up"
            ),
            models.CheckConstraint(
                condition=~Q(state="paid") | Q(payment_id__isnull=False, received_cents__gt=0),
                name="billing_top_up_paid",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class StripeEvent(models.Model):
    """Something that Stripe told: noted when it comes, handled afterwards, once."""

    id = models.CharField(max_length=80, primary_key=True)
    type = models.CharField(max_length=80)
    object_id = models.CharField(max_length=80)
    received_at = models.DateTimeField(db_default=Now())
    handled_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=60, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["received_at"], condition=Q(handled_at=None), name="billing_event_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class EventsRead(models.Model):
    """Until when all events of Stripe's have been read. One row."""

    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"events until {self.until}"


from billing.concern_models import Concern  # noqa: E402
from billing.payment_models import AutoTopUp, BillingDetails, SavedCard, Voucher, VoucherUse  # noqa: E402
from billing.payout_models import Payee, Payout, PayoutBatch  # noqa: E402

__all__ = [
    "AutoTopUp", "BillingDetails", "Charge", "Concern", "Customer", "EventsRead", "Payee", "Payout", "PayoutBatch",
    "PriceVersion", "SavedCard", "StripeEvent", "TopUp", "Unsettled", "Voucher", "VoucherUse",
]  # fmt: skip
