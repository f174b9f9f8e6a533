"""Statements of months. Written once, by `billing.monthly`; a trigger refuses every change."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from accounts.tenancy import TenantModel


class MonthlyStatement(TenantModel):
    """What the ledger says of an organisation's month, as it was when the month was closed.

    `document` is what `billing.monthly.Document` reads. `cuts` tells up to which entry of each account it goes: the
    next statement begins with the entry after it, so every entry is in exactly one.
    """

    org = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="+")
    public_id = models.CharField(max_length=40, unique=True)
    month = models.DateField()
    zone = models.CharField(max_length=60)
    document = models.JSONField()
    cuts = models.JSONField()
    closed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "month"], name="billing_statement_once_a_month")]

    def __str__(self) -> str:
        return f"{self.org_id} {self.month:%Y-%m}"
