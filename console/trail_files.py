"""An audit trail as a file, read piece by piece as the client takes it.

No process holds a whole trail, and none waits for a slow reader.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from accounts import audit_export
from common.cells import csv_line

CSV, JSON_LINES = "csv", "jsonl"
_TYPES = {CSV: "text/csv", JSON_LINES: "application/jsonl"}
_AT_ONCE = 500
"""Events are read so many at a time."""


def trail_file(found: QuerySet[Any], kind: str, place: str) -> StreamingHttpResponse:
    """Args: found: the newest first. place: what the file is called by, before the day."""
    response = StreamingHttpResponse(_pieces(found, kind), content_type=f"{_TYPES[kind]}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{place}-{timezone.now():%Y-%m-%d}.{kind}"'
    return response


async def _pieces(found: QuerySet[Any], kind: str) -> AsyncIterator[str]:
    """What is written meanwhile is newer than where it begins, and is left out."""
    read = sync_to_async(_piece)
    if kind == CSV:
        yield csv_line(audit_export.COLUMNS)
    before: int | None = None
    while piece := await read(found, kind, before):
        text, before = piece
        yield text


def _piece(found: QuerySet[Any], kind: str, before: int | None) -> tuple[str, int] | None:
    """The next lines and where they end; None after the last."""
    events = list((found if before is None else found.filter(sequence__lt=before))[:_AT_ONCE])
    if not events:
        return None
    lines = audit_export.export_json_lines(events) if kind == JSON_LINES else audit_export.csv_lines(events)
    return "".join(lines), events[-1].sequence
