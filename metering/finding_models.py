"""What workers found in the usage of a time too large to be read while somebody waits."""

from __future__ import annotations

from django.db import models

from accounts.tenancy import TenantModel


class UsageFindings(TenantModel):
    """The latest findings of a window, e.g. "7d"; `found` is what `metering.findings.Findings` reads, empty at first.

    `begun_at` is set while a worker is at the next ones.
    """

    org = models.ForeignKey("accounts.Organization", on_delete=models.CASCADE, related_name="+")
    window = models.CharField(max_length=4)
    found = models.JSONField(null=True)
    found_at = models.DateTimeField(null=True)
    begun_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "window"], name="usage_findings_once")]

    def __str__(self) -> str:
        return f"{self.org_id} {self.window}"
