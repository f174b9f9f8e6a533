"""An organisation's routes: a public model name in front of targets, with a strategy."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class Route(TenantModel):
    """`targets` is a list of `{"target": "<connection slug>/<model>", "weight": int, "tier": int}`; `spill_over` has
    the fields of `routing.snapshots.SpillOver`."""

    public_id = models.CharField(max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=200)
    strategy = models.CharField(_("strategy"), max_length=20, default="priority")
    targets = models.JSONField(default=list)
    timeouts = models.JSONField(default=dict, blank=True)
    private = models.BooleanField(_("own machines only"), default=False)
    spill_over = models.JSONField(null=True, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "name"], name="route_once_per_org")]

    def __str__(self) -> str:
        return self.name
