from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.tenancy import TenantModel


class KeptAnswer(TenantModel):
    """The answer to a POST with an `Idempotency-Key`, kept for a day, sealed because it may hold a new API key.

    `scope` is a SHA-256 of who asked, where, and with which idempotency key.
    """

    scope = models.BinaryField(max_length=32)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "scope"], name="kept_answer_once")]
        indexes = [models.Index(fields=["created_at"], name="kept_answer_created")]

    def __str__(self) -> str:
        return f"{bytes(self.scope).hex()[:12]} of {self.created_at:%Y-%m-%d %H:%M}"
