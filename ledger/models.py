"""The ledger's tables. Written by this room's functions only; triggers refuse what these would never do."""

from __future__ import annotations

from itertools import pairwise

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Organization
from accounts.tenancy import TenantQuerySet
from ledger import kinds

RESERVED, CAPTURED, RELEASED = "reserved", "captured", "released"


class Account(models.Model):
    """Where money is. `balance` is the sum of its entries, `held` that of its open holds and leases."""

    org = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, related_name="+")  # null: the platform
    kind = models.CharField(max_length=30)
    currency = models.CharField(max_length=8, default=kinds.USD)
    reference = models.CharField(max_length=120, blank=True)  # tells accounts of one kind and owner apart
    is_prepaid = models.BooleanField()
    balance = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["org", "kind", "currency", "reference"], name="ledger_account_once", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(held__gte=0), name="ledger_held_not_negative"),
            models.CheckConstraint(
                condition=Q(is_prepaid=False) | Q(balance__gte=F("held")), name="ledger_prepaid_covers_held"
            ),
            models.CheckConstraint(
                condition=Q(is_prepaid=True) | ~Q(kind__in=sorted(kinds.PREPAID)), name="ledger_prepaid_kinds"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference} of {self.org_id or 'the platform'}"


class Transfer(models.Model):
    """One movement of money, known by what it is for. Append-only.

    `digest` is taken over everything it says, its entries included: a replay is compared by it.
    """

    business_id = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=40)
    price_version = models.IntegerField(null=True)
    reason = models.CharField(max_length=300, blank=True)
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="reversed_by")
    digest = models.BinaryField(max_length=32)
    posted_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.business_id


class EntryQuerySet(models.QuerySet["Entry"]):
    def of_other_kinds(self, *named: str) -> EntryQuerySet:
        """All but these, said as ranges between them: an index answers these, and never a "not"."""
        ordered = sorted(named)
        between = Q(kind__lt=ordered[0]) | Q(kind__gt=ordered[-1])
        for before, after in pairwise(ordered):
            between |= Q(kind__gt=before, kind__lt=after)
        return self.filter(between)


class Entry(models.Model):
    """What one transfer changed in one account, and the balance after it. Append-only; ordered by id.

    `kind` is its transfer's: the few vouchers among millions of settlements are found by it.
    """

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="entries")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="entries", db_index=False)
    amount = models.BigIntegerField()
    balance_after = models.BigIntegerField()
    kind = models.CharField(max_length=40, db_default="")

    objects = EntryQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="ledger_entry_moves")]
        indexes = [
            models.Index(fields=["account", "id"], name="ledger_entry_account"),
            models.Index(fields=["account", "kind", "id"], name="ledger_entry_account_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} on {self.account_id}"


class Hold(models.Model):
    """Money set aside for one purpose: reserved, then captured by a transfer or released, exactly once."""

    business_id = models.CharField(max_length=200, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="holds")
    amount = models.BigIntegerField()
    state = models.CharField(max_length=10, default=RESERVED)
    transfer = models.OneToOneField(Transfer, on_delete=models.PROTECT, null=True, related_name="hold")
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="ledger_hold_positive"),
            models.CheckConstraint(
                condition=Q(state=RESERVED, transfer=None, ended_at=None)
                | Q(state=CAPTURED, transfer__isnull=False, ended_at__isnull=False)
                | Q(state=RELEASED, transfer=None, ended_at__isnull=False),
                name="ledger_hold_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.business_id}: {self.state}"


class Lessee(models.Model):
    """A process that spends in memory. `drained_at`: it is dead, and its journal was replayed to the end."""

    id = models.UUIDField(primary_key=True)
    journal = models.CharField(max_length=60, db_default="")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    drained_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.id)


class Lease(models.Model):
    """What a process may still spend of an account, and what it spent that is not settled yet."""

    lessee = models.ForeignKey(Lessee, on_delete=models.PROTECT, related_name="leases")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="leases")
    amount = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["lessee", "account"], name="ledger_lease_once"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="ledger_lease_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.account_id} to {self.lessee_id}"


class Proof(models.Model):
    """One run of all invariants. Without `ended_at` it is under way, or was stopped before it had read everything."""

    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    took_s = models.JSONField(default=dict)  # by the name of each invariant that was read to its end
    findings = models.JSONField(default=list)  # [invariant, subject, detail] of each
    told_at = models.DateTimeField(null=True)  # the staff, where there is something to tell

    class Meta:
        indexes = [models.Index(fields=["-started_at"], name="ledger_proof_newest")]

    def __str__(self) -> str:
        return f"{len(self.findings)} findings of {self.started_at:%Y-%m-%d %H:%M}"


class OutboxMessage(models.Model):
    """Something to tell others once the transaction that wrote it is committed: at least once, in order of id."""

    topic = models.CharField(max_length=60)
    payload = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["id"], condition=Q(delivered_at=None), name="ledger_outbox_waiting")]

    def __str__(self) -> str:
        return f"{self.topic} {self.pk}"
