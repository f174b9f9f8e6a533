"""What the operator's people have to look at."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Concern(models.Model):
    """Something about money that only a person can put right. `subject` is what it is about, as its kind says it.

    `org_id` is whose it is, where it is one organisation's.
    """

    OTHER_CURRENCY, IMPLAUSIBLE, MISMATCH, UNSETTLED, STUCK_EVENT = (
        "other_currency", "implausible", "mismatch", "unsettled", "stuck_event",
    )  # fmt: skip

    kind = models.CharField(max_length=20)
    subject = models.CharField(max_length=80)
    org_id = models.BigIntegerField(null=True)
    raised_at = models.DateTimeField(db_default=Now())
    told_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    done_by = models.CharField(max_length=254, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "subject"], name="billing_concern_once")]
        indexes = [models.Index(fields=["raised_at"], condition=Q(done_at=None), name="billing_concern_open")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
