"""Tells others what happened to money, only if it did: written in the same transaction, delivered after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from django.db import transaction
from django.db.models.functions import Now

from ledger.models import OutboxMessage
from ledger.posting import Cursor


def announce(cursor: Cursor, topic: str, payload: Mapping[str, Any]) -> None:
    cursor.execute(
        "INSERT INTO ledger_outboxmessage (topic, payload) VALUES (%s, %s::jsonb)",
        (topic, orjson.dumps(payload).decode()),
    )


def deliver(handle: Callable[[OutboxMessage], None], *, most: int = 100) -> int:
    """Hands over what waits, in order of id; what another process is delivering is left to it.

    Fails: when `handle` raises, nothing of this round counts as delivered, so each message comes at least once.
    """
    with transaction.atomic():
        waiting = OutboxMessage.objects.select_for_update(skip_locked=True).filter(delivered_at=None)
        messages = list(waiting.order_by("id")[:most])
        for message in messages:
            handle(message)
        OutboxMessage.objects.filter(pk__in=[message.pk for message in messages]).update(delivered_at=Now())
    return len(messages)
