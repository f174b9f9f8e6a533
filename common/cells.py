"""Cells of CSV: text that a spreadsheet would run as a formula is quoted, numbers stay numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    # What a caller chose to call a model is no formula; a negative amount is none either.
    is_formula = isinstance(value, str) and text.startswith(_FORMULA_STARTS) and not _is_number(text)
    return f"'{text}" if is_formula else text


def csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([cell(value) for value in values])
    return line.getvalue()


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-").replace(".", "", 1)
    return digits.isascii() and digits.isdecimal()
