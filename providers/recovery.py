"""Tries parked keys again: a vendor refuses a key for a while when an account is topped up late or being moved."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from accounts.audit import Actor
from providers.keypool import REFUSED, unpark_key
from providers.models import ConnectionKey
from providers.probe import Patience, test_connection

SYSTEM = Actor.system("recovery")
GIVE_UP_AFTER = timedelta(days=7)
MOST_AT_ONCE = 25
_PATIENCE = Patience(connect_s=5, read_s=10, whole_s=15)


def retry_parked_keys() -> int:
    """Tests keys that the gateway parked, a few by lot each time; what people parked stays parked.

    Returns:
        how many came back into use.
    """
    now = timezone.now()
    rows = ConnectionKey.objects.select_related("connection__org").filter(
        state=ConnectionKey.PARKED,
        state_reason=REFUSED,
        state_changed_at__gt=now - GIVE_UP_AFTER,
        connection__enabled=True,
    )
    return sum(_retry(row) for row in rows.order_by("?")[:MOST_AT_ONCE])


def _retry(row: ConnectionKey) -> bool:
    return test_connection(row.connection, key=row, patience=_PATIENCE).ok and unpark_key(row, SYSTEM)
