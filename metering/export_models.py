"""Exports of requests: what was asked for, how far it is, and the file in pieces until it expires."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from accounts.tenancy import TenantModel


class UsageExport(TenantModel):
    """`position` is behind which request its pieces end, as [started_at, request id]; empty before the first."""

    WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"

    org = models.ForeignKey("accounts.Organization", on_delete=models.CASCADE, related_name="+")
    public_id = models.CharField(max_length=40, unique=True)
    actor_label = models.CharField(max_length=254)
    format = models.CharField(max_length=4)  # csv, json
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    narrowed = models.JSONField(default=dict)
    state = models.CharField(max_length=10, default=WAITING)
    total = models.BigIntegerField(default=0)
    done = models.BigIntegerField(default=0)
    size_bytes = models.BigIntegerField(default=0)
    position = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=Now())
    failures = models.SmallIntegerField(db_default=0)  # in a row, since its last piece
    worked_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.public_id}: {self.state}"

    @property
    def is_open(self) -> bool:
        return self.state in (self.WAITING, self.RUNNING)

    @property
    def percent(self) -> int:
        return 100 if self.state == self.DONE else min(99, 100 * self.done // (self.total or 1))


class ExportPiece(TenantModel):
    """A run of lines, compressed. In the database, where every process finds it."""

    org = models.ForeignKey("accounts.Organization", on_delete=models.CASCADE, related_name="+")
    export = models.ForeignKey(UsageExport, on_delete=models.CASCADE, related_name="pieces")
    number = models.IntegerField()
    lines = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="export_piece_once")]

    def __str__(self) -> str:
        return f"{self.export_id}/{self.number}"
