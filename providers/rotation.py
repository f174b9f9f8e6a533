"""Seals stored secrets anew with the key ring's newest key, in small transactions: it may stop at any point."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum, auto

from django.db import transaction

from common.secrets import SecretsError
from providers.models import ConnectionKey
from providers.sealing import needs_rotation, open_key, seal_key

logger = logging.getLogger(__name__)


class _Outcome(Enum):
    CURRENT = auto()
    ROTATED = auto()
    UNREADABLE = auto()


@dataclass(frozen=True, slots=True)
class Rotated:
    """`unreadable` rows stay as they are: the ring lacks their key, or they were moved."""

    looked_at: int
    rotated: int
    unreadable: int


def rotate_keys(batch: int = 100) -> Rotated:
    """Goes through every vendor's key once; rows that are sealed with the newest key already are left alone.

    Nothing else about a row changes, so no version is bumped: running processes hold the opened keys.
    """
    looked_at = rotated = unreadable = last = 0
    while rows := _rotate_batch(last, batch):
        outcomes = [outcome for _pk, outcome in rows]
        looked_at += len(rows)
        rotated += outcomes.count(_Outcome.ROTATED)
        unreadable += outcomes.count(_Outcome.UNREADABLE)
        last = rows[-1][0]
    return Rotated(looked_at, rotated, unreadable)


@transaction.atomic
def _rotate_batch(last: int, batch: int) -> list[tuple[int, _Outcome]]:
    rows = ConnectionKey.objects.select_for_update(of=("self",)).select_related("connection")
    return [(row.pk, _rotate(row)) for row in rows.filter(pk__gt=last).order_by("pk")[:batch]]


def _rotate(row: ConnectionKey) -> _Outcome:
    try:
        if not needs_rotation(row):
            return _Outcome.CURRENT
        key = open_key(row, row.connection)
    except SecretsError:
        logger.exception("key %s of connection %s cannot be opened", row.public_id, row.connection.public_id)
        return _Outcome.UNREADABLE
    row.sealed = seal_key(row, row.connection, key)
    row.save(update_fields=["sealed"])
    return _Outcome.ROTATED
