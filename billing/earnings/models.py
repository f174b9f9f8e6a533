"""What earnings remember: the programme of each owner, causes, lots, cases."""

from __future__ import annotations

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from nodes.models import Node

REWARDS, EXCHANGE, MISSION, MIXED = "rewards", "exchange", "mission", "mixed"
PROGRAMMES = (REWARDS, EXCHANGE, MISSION)
"""The plain ones, that can be chosen by their name; any other division is mixed."""
LEAST_DONATED_PERCENT, MOST_DONATED_PERCENT = 10, 100
MOST_WEIGHT = 100


class Cause(models.Model):
    """A non-profit organisation that owners may give to. Its page is public. A closed one gets nothing more."""

    slug = models.SlugField(_("short name"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=120)
    summary = models.CharField(_("what it does, in a sentence"), max_length=240)
    about = models.TextField(_("about it"), max_length=4000, blank=True)
    website = models.URLField(_("website"), max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Programme(TenantModel):
    """What becomes of an owner's share, from the next settled request on. Without a row it is Rewards.

    So many percent of it are exchanged and given; the rest is rewards.
    `public_name` stands on the leaderboard only while `is_public`.
    """

    org = models.OneToOneField("accounts.Organization", on_delete=models.CASCADE, related_name="+")
    exchanged_percent = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(100)])
    donated_percent = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(MOST_DONATED_PERCENT)]
    )
    is_public = models.BooleanField(default=False)
    public_name = models.CharField(max_length=60, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=(Q(donated_percent=0) | Q(donated_percent__gte=LEAST_DONATED_PERCENT))
                & Q(exchanged_percent__gte=0, exchanged_percent__lte=100 - F("donated_percent")),
                name="earnings_programme_divided",
            ),
            models.CheckConstraint(condition=Q(is_public=False) | ~Q(public_name=""), name="earnings_public_named"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.org_id}"

    @property
    def rewarded_percent(self) -> int:
        return 100 - self.exchanged_percent - self.donated_percent

    @property
    def kind(self) -> str:
        """One of PROGRAMMES, or MIXED."""
        if not self.exchanged_percent:
            return MISSION if self.donated_percent else REWARDS
        return EXCHANGE if self.exchanged_percent == 100 else MIXED


class CauseChoice(TenantModel):
    """That an owner gives to a cause; several share what is given by their weights."""

    programme = models.ForeignKey(Programme, on_delete=models.CASCADE, related_name="choices")
    cause = models.ForeignKey(Cause, on_delete=models.PROTECT, related_name="+")
    weight = models.PositiveSmallIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["programme", "cause"], name="earnings_choice_once"),
            models.CheckConstraint(
                condition=Q(weight__gte=1, weight__lte=MOST_WEIGHT), name="earnings_choice_weight"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.weight} to {self.cause}"


class Lot(TenantModel):
    """What one model of one machine earned on one day of posting (UTC), and what became of it. Nano-USD.

    `paid` is what callers paid, `earned` the owner's share of it, of which `escrow`, `exchanged` and `donated` are
    the parts. `matured` and `taken_escrow` left the escrow again; `taken` is all that was taken back of `earned`.
    """

    target_id = models.BigIntegerField()
    day = models.DateField()
    requests = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    paid = models.BigIntegerField(default=0)
    earned = models.BigIntegerField(default=0)
    escrow = models.BigIntegerField(default=0)
    exchanged = models.BigIntegerField(default=0)
    donated = models.BigIntegerField(default=0)
    matured = models.BigIntegerField(default=0, db_default=0)
    taken_escrow = models.BigIntegerField(default=0, db_default=0)
    taken = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["org", "target_id", "day"], name="earnings_lot_once"),
            models.CheckConstraint(
                condition=Q(earned=F("escrow") + F("exchanged") + F("donated"))
                & Q(escrow__gte=0, exchanged__gte=0, donated__gte=0, matured__gte=0, taken_escrow__gte=0)
                & Q(taken__lte=F("earned"), taken__gte=F("taken_escrow"))
                & Q(escrow__gte=F("matured") + F("taken_escrow")),
                name="earnings_lot_divided",
            ),
        ]
        indexes = [models.Index(fields=["org", "day"], name="earnings_lot_org_day")]

    def __str__(self) -> str:
        return f"{self.earned} by {self.target_id} on {self.day}"

    @property
    def waiting(self) -> int:
        """What is still in escrow."""
        return self.escrow - self.matured - self.taken_escrow

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class Donation(models.Model):
    """What of a lot went to which cause, and what was taken back of it."""

    lot = models.ForeignKey(Lot, on_delete=models.PROTECT, related_name="donations")
    cause = models.ForeignKey(Cause, on_delete=models.PROTECT, related_name="donations")
    nanos = models.BigIntegerField()
    taken = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["lot", "cause"], name="earnings_donation_once"),
            models.CheckConstraint(
                condition=Q(nanos__gt=0, taken__gte=0, taken__lte=F("nanos")), name="earnings_donation_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.nanos} to {self.cause_id}"


class Case(TenantModel):
    """Doubts about a lot: it waits in escrow until the owner has answered and somebody has decided.

    Without an answer by `answer_until` what is at stake is taken back: this share of the lot, a fraction. When the
    price of its requests is put right afterwards, so are `taken` and `refunded`, each time by transfers of their own.
    """

    OPEN, ANSWERED, UPHELD, DISMISSED = "open", "answered", "upheld", "dismissed"

    public_id = models.CharField(max_length=40, unique=True)
    lot = models.OneToOneField(Lot, on_delete=models.PROTECT, related_name="case")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="+")
    upstream_id = models.CharField(max_length=200)
    state = models.CharField(max_length=10, default=OPEN)
    opened_at = models.DateTimeField()
    answer_until = models.DateTimeField()
    answer = models.TextField(max_length=2000, blank=True)
    answered_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=300, blank=True)
    taken = models.BigIntegerField(default=0)  # of the owner's share
    refunded = models.BigIntegerField(default=0)  # to those who had paid
    transfer_id = models.BigIntegerField(null=True)
    share_numerator = models.BigIntegerField(
        null=True
    )  # with its denominator; None in cases of before they were kept
    share_denominator = models.BigIntegerField(null=True)
    corrections = models.IntegerField(default=0, db_default=0)

    class Meta:
        indexes = [models.Index(fields=["org", "-opened_at"], name="earnings_case_org")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=("open", "answered"), decided_at=None)
                | Q(state__in=("upheld", "dismissed"), decided_at__isnull=False),
                name="earnings_case_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_id}: {self.state}"

    @property
    def is_pending(self) -> bool:
        return self.state in (self.OPEN, self.ANSWERED)
