"""Usage facts. `Usage` is partitioned by month in PostgreSQL; the rollups are what pages read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models.functions import Now

from accounts.tenancy import TenantModel
from ledger.models import Account
from metering import lengths
from metering.export_models import ExportPiece, UsageExport
from metering.finding_models import UsageFindings
from metering.spread import MOST_DIGITS

__all__ = ["ExportPiece", "UsageExport", "UsageFindings"]

if TYPE_CHECKING:
    from accounts.models import Organization


class UsageFigures(models.Model):
    """The sums that a row of usage, or a bucket of many, carries. Money in nano-USD."""

    input_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost_nanos = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class UsageQuerySet(models.QuerySet["Usage"]):
    def of(self, organization: Organization) -> Self:
        return self.filter(org_id=organization.pk)


class Usage(UsageFigures):
    """One request, however it ended. Written by the recorder only; the primary key is (started_at, request_id).

    The table is partitioned by month of `started_at`: a query without bounds on it reads all months.
    """

    pk = models.CompositePrimaryKey("started_at", "request_id")
    started_at = models.DateTimeField()
    request_id = models.CharField(max_length=40)
    org_id = models.BigIntegerField()
    key_id = models.BigIntegerField(null=True)
    user_id = models.BigIntegerField(null=True)
    endpoint = models.CharField(max_length=30)
    model = models.CharField(max_length=200)  # as asked for
    route = models.CharField(max_length=200, blank=True)
    target = models.CharField(max_length=260, blank=True)  # "<connection slug>/<model>", empty if none answered
    target_id = models.BigIntegerField(null=True)
    status = models.SmallIntegerField()
    error_code = models.CharField(max_length=40, blank=True)
    stream = models.BooleanField(default=False)
    finish_reason = models.CharField(max_length=20, blank=True)
    usage_source = models.CharField(max_length=10)  # reported, bounded, counted, none
    billing_reason = models.CharField(max_length=30)
    price_version = models.IntegerField(null=True)
    attempts = models.JSONField(default=list)
    attempt_count = models.SmallIntegerField(default=0)
    duration_ms = models.IntegerField(default=0)
    ttft_ms = models.IntegerField(null=True)
    overhead_us = models.IntegerField(null=True)
    sdk_retry = models.SmallIntegerField(default=0)
    user_agent = models.CharField(max_length=120, blank=True)
    metadata = models.JSONField(null=True)
    cache = models.CharField(max_length=4, blank=True)  # HIT, MISS, empty where no rule keeps answers
    saved_nanos = models.BigIntegerField(default=0)  # what a hit would have cost, had it been asked anew
    prompt_hash = models.BigIntegerField(default=0)  # alike for the same prompt; 0 where nobody looked
    token_details = models.JSONField(null=True)  # how many tokens were of which kind, as `common.rates` has it
    ingested_at = models.DateTimeField(db_default=Now())

    objects = UsageQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "metering_usage"

    def __str__(self) -> str:
        return self.request_id


class Rollup(TenantModel, UsageFigures):
    """Sums of one hour, or of one day in the organisation's time zone, per model, route, target, key and member.

    `charged_nanos` were paid to the platform with credits and `tokens_nanos` with what own machines had earned, as
    the ledger says; `own_nanos` is what requests to own providers and machines cost there. The spreads are counts of
    times, packed as in `metering.spread`; `long_prompts` what long ones came to, as in `metering.lengths`.
    """

    period = models.CharField(max_length=4)  # hour, day
    starts_at = models.DateTimeField()
    model = models.CharField(max_length=200)
    route = models.CharField(max_length=200, blank=True)
    target = models.CharField(max_length=260, blank=True)
    key_id = models.BigIntegerField(default=0)
    user_id = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    duration_ms_sum = models.BigIntegerField(default=0)
    ttft_ms_sum = models.BigIntegerField(default=0)
    ttft_count = models.BigIntegerField(default=0)
    hits = models.BigIntegerField(db_default=0)
    saved_nanos = models.BigIntegerField(db_default=0)
    charged_nanos = models.BigIntegerField(db_default=0)
    own_nanos = models.BigIntegerField(db_default=0)
    tokens_nanos = models.BigIntegerField(db_default=0)
    duration_spread = models.DecimalField(max_digits=MOST_DIGITS, decimal_places=0, db_default=0)
    ttft_spread = models.DecimalField(max_digits=MOST_DIGITS, decimal_places=0, db_default=0)
    long_prompts = models.DecimalField(max_digits=lengths.MOST_DIGITS, decimal_places=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "org", "starts_at", "model", "route", "target", "key_id", "user_id"],
                name="rollup_bucket_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period} {self.starts_at:%Y-%m-%d %H:%M} {self.model}"


class RollupZone(TenantModel):
    """Whose days an organisation's sums of days are of; UTC where there is none."""

    org = models.OneToOneField("accounts.Organization", on_delete=models.CASCADE, related_name="+", primary_key=True)
    zone = models.CharField(max_length=60)

    def __str__(self) -> str:
        return f"{self.org_id} in {self.zone}"


class AttemptSum(TenantModel):
    """How the attempts at one target went in one hour, those included that another target made good.

    `failed` leaves out what says nothing against the target: a caller's own mistake or leave, a rate limit, a key.
    """

    starts_at = models.DateTimeField()
    target = models.CharField(max_length=260)
    attempts = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "starts_at", "target"], name="attempt_sum_once")]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H} {self.target}"


class DirtyBucket(models.Model):
    """A mark: this hour got usage that its rollup does not hold yet. Written in the transaction of that usage.

    Every batch adds its own mark and never touches another's, so writers wait neither for each other nor for the
    rollups, and a mark that appears while its hour is being rolled up is still there afterwards.
    """

    org_id = models.BigIntegerField()
    hour = models.DateTimeField()
    marked_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["org_id", "hour"], name="dirty_bucket_org_hour")]

    def __str__(self) -> str:
        return f"{self.org_id} {self.hour:%Y-%m-%d %H}"


class UsageExpiry(TenantModel):
    """Up to when an organisation's usage rows were deleted. The rollups of that time are all that is left of it."""

    org = models.OneToOneField("accounts.Organization", on_delete=models.CASCADE, related_name="+")
    expired_before = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.org_id} before {self.expired_before:%Y-%m-%d %H:%M}"


class BudgetWindow(TenantModel):
    """One window of one budget, and the account that holds what may still be spent in it.

    `allotted` was put into the account. `overrun` was spent although the account did not cover it: served all the
    same, because the budget only warns. `alerted_percent` is the highest mark that somebody was told of.
    """

    scope = models.CharField(max_length=20)
    subject = models.CharField(max_length=260, blank=True)
    unit = models.CharField(max_length=10)
    window = models.CharField(max_length=10)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    account = models.OneToOneField(Account, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    allotted = models.BigIntegerField(db_default=0)
    overrun = models.BigIntegerField(db_default=0)
    changes = models.IntegerField(db_default=0)
    alerted_percent = models.SmallIntegerField(db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["org", "scope", "subject", "unit", "window", "starts_at"], name="budget_window_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.subject} {self.window} {self.unit} from {self.starts_at:%Y-%m-%d}"


class Content(TenantModel):
    """What one request asked and was answered, of an organisation that keeps it; read through `metering.contents`.

    `sealed` holds the compressed JSON of `metering.transcripts.Transcript`, bound to its row. The usage row of
    its request may be recorded later, so nothing refers to that.
    """

    request_id = models.CharField(max_length=40)
    started_at = models.DateTimeField()
    key_id = models.BigIntegerField(null=True)
    prompt_hash = models.BigIntegerField(default=0)
    sealed = models.BinaryField()
    size_bytes = models.IntegerField()  # of what was said, before it was cut and sealed
    is_cut = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "request_id"], name="content_once_per_request")]
        indexes = [
            models.Index(fields=["org", "started_at"], name="content_by_age"),
            models.Index(fields=["org", "prompt_hash", "-started_at"], name="content_by_prompt"),
        ]

    def __str__(self) -> str:
        return self.request_id
