"""CSV that a person or a program takes away, every cell of it harmless in a spreadsheet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from asgiref.sync import sync_to_async
from django.http import HttpResponse, StreamingHttpResponse

from common.cells import csv_line

Rows = Sequence[Iterable[object]]


def csv_download(file_name: str, rows: Iterable[Iterable[object]]) -> HttpResponse:
    """The header is the first of the rows."""
    response = HttpResponse(map(csv_line, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


def csv_stream(file_name: str, head: Sequence[str], read: Callable[[int], tuple[Rows, int]]) -> StreamingHttpResponse:
    """A file of any length, of which no process ever holds more than one batch.

    Args:
        read: the rows after a place, which is 0 at first, and the place of the last of them; no rows end the file.
    """
    response = StreamingHttpResponse(_batches(head, read), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


async def _batches(head: Sequence[str], read: Callable[[int], tuple[Rows, int]]) -> AsyncIterator[str]:
    yield csv_line(head)
    place, read_next = 0, sync_to_async(read)
    while True:
        rows, place = await read_next(place)
        if not rows:
            return
        yield "".join(map(csv_line, rows))
