"""CSV that a person or a program takes away, every cell of it harmless in a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpResponse

from common.cells import csv_line


def csv_download(file_name: str, rows: Iterable[Iterable[object]]) -> HttpResponse:
    """The header is the first of the rows."""
    response = HttpResponse(map(csv_line, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response
