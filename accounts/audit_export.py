"""The audit trail as a file, written while it is read: CSV for spreadsheets, JSON lines for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from accounts.models import Noted
from common.cells import csv_line

COLUMNS = (
    "sequence",
    "id",
    "at",
    "actor_type",
    "actor_id",
    "actor_label",
    "action",
    "object_type",
    "object_id",
    "object_label",
    "before",
    "after",
    "ip",
    "user_agent",
    "digest",
)


def export_csv(events: Iterable[Noted]) -> Iterator[str]:
    """Lines of CSV, the header first."""
    yield csv_line(COLUMNS)
    yield from csv_lines(events)


def csv_lines(events: Iterable[Noted]) -> Iterator[str]:
    for event in events:
        row = exported(event)
        yield csv_line(_text(row[column]) for column in COLUMNS)


def export_json_lines(events: Iterable[Noted]) -> Iterator[str]:
    for event in events:
        yield orjson.dumps(exported(event)).decode() + "\n"


def exported(event: Noted) -> dict[str, Any]:
    """One event in the shape of the export and of the management API."""
    return {
        "sequence": event.sequence,
        "id": event.public_id,
        "at": event.at.isoformat(),
        "actor_type": event.actor_type,
        "actor_id": event.actor_id,
        "actor_label": event.actor_label,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_label": event.object_label,
        "before": event.before,
        "after": event.after,
        "ip": event.ip,
        "user_agent": event.user_agent,
        "digest": bytes(event.digest).hex(),
    }


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
