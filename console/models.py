"""What the console itself keeps: runs of the smoke test."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class SmokeRun(TenantModel):
    """One run of the smoke test. `ended_at` is empty while it goes on; an organisation has one such run at most.

    `report` holds `console.smoke.report.CheckReport`s; `undo` what the run made and has not taken back yet, as pairs
    of a kind and an id.
    """

    public_id = models.CharField(max_length=40, unique=True)
    checks = models.JSONField()
    route = models.CharField(_("route"), max_length=260, blank=True)
    prompt = models.TextField(_("prompt"), blank=True)
    verdict = models.CharField(max_length=10, default="running")
    report = models.JSONField(default=list)
    undo = models.JSONField(default=list)
    actor_type = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=60)
    actor_label = models.CharField(max_length=254)
    actor_ip = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["org"], condition=models.Q(ended_at=None), name="smoke_run_one_at_a_time"
            ),
        ]
        indexes = [models.Index(fields=["org", "-created_at"], name="smoke_run_org_created")]

    def __str__(self) -> str:
        return f"{self.public_id}: {self.verdict}"

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None
