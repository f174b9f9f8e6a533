"""The file of an export, piece by piece as the client takes it: no process ever holds the whole of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

from metering import exports
from metering.models import UsageExport

_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


def file_answer(export: UsageExport) -> StreamingHttpResponse:
    """Of one that is done."""
    response = StreamingHttpResponse(_pieces(export.pk), content_type=_TYPES[export.format])
    name = f"requests-{export.begins_at:%Y%m%d}-{export.ends_at:%Y%m%d}.{export.format}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Length"] = str(export.size_bytes)
    return response


async def _pieces(export_id: int) -> AsyncIterator[str]:
    number, read = 0, sync_to_async(exports.piece)
    while (text := await read(export_id, number)) is not None:
        yield text
        number += 1
