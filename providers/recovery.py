"""Tries parked keys again: a vendor refuses a key for a while when an account is topped up late or being moved.

After one probe interval first, then after twice as long each time, up to an hour; for a week. A key is proven by its
list of models and a single token, since some vendors list their models to anybody.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.audit import Actor
from common.secrets import SecretsError
from providers.keypool import REFUSED, first_retry, unpark_key
from providers.models import ConnectionKey
from providers.probe import Patience, line_to
from providers.pulse import Asked, Heard, Question, ask
from providers.sealing import open_key

SYSTEM = Actor.system("recovery")
GIVE_UP_AFTER = timedelta(days=7)
LONGEST_WAIT = timedelta(hours=1)
MOST_AT_ONCE = 25
_PATIENCE = Patience(connect_s=5, read_s=10, whole_s=15)


def retry_parked_keys() -> int:
    """Asks with the keys that the gateway parked and whose time has come; what people parked stays parked. Any number
    of these may run at once: each key is tried by one of them.

    Returns:
        how many came back into use.
    """
    rows = _claim_due(timezone.now())
    questions = [(row, question) for row in rows if (question := _question(row)) is not None]
    if not questions:
        return 0
    with ThreadPoolExecutor(len(questions)) as threads:
        heard = list(threads.map(ask, [question for _row, question in questions]))
    return sum(_is_proof(said) and unpark_key(row, SYSTEM) for (row, _), said in zip(questions, heard, strict=True))


def _claim_due(now: datetime) -> list[ConnectionKey]:
    due = Q(retry_at=None) | Q(retry_at__lte=now)
    with transaction.atomic():
        parked = ConnectionKey.objects.select_for_update(skip_locked=True, of=("self",))
        rows = parked.select_related("connection__org").filter(
            due,
            state=ConnectionKey.PARKED,
            state_reason=REFUSED,
            state_changed_at__gt=now - GIVE_UP_AFTER,
            connection__enabled=True,
        )
        claimed = list(rows.order_by("retry_at")[:MOST_AT_ONCE])
        for row in claimed:
            retry_at = now + wait_after(row.retries + 1)
            ConnectionKey.objects.filter(pk=row.pk).update(retries=row.retries + 1, retry_at=retry_at)
    return claimed


def wait_after(retries: int) -> timedelta:
    """Until the next try, when so many failed."""
    return min(first_retry() * 2 ** min(retries, 20), max(LONGEST_WAIT, first_retry()))


def _question(row: ConnectionKey) -> Question | None:
    """None for a key that cannot be opened."""
    try:
        line = line_to(row.connection, open_key(row, row.connection))
    except SecretsError:
        return None
    model = row.connection.served_models.filter(enabled=True).order_by("kind", "pk").first()
    asked = (Asked(model.upstream_id, model.kind),) if model else ()
    return Question(line, _PATIENCE, doubted=asked, others=asked)


def _is_proof(heard: Heard) -> bool:
    return heard.alive and (not heard.code or bool(heard.spoke))
