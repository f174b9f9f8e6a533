"""Puts many records into `metering_usage` at once, by COPY: how a recorder that lags behind catches up.

It costs PostgreSQL a third of what `metering.ingest.insert` does, and this process more; and PostgreSQL works on what
was sent while this process writes the rest. COPY knows no exceptions: where one of the records is there already, all
of the transaction is lost, and the batch is for `insert`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
import psycopg

from metering.columns import COLUMNS
from metering.ingest import NUL, BatchHook
from metering.usage import UsageRecord, cleaned

AT_LEAST = 800
"""So many are no batch of a process that keeps up: those are left to `insert`, which costs this process less."""
AT_ONCE = 128
"""Rows that are sent together."""
COPY = f"COPY metering_usage ({', '.join(column.name for column in COLUMNS)}) FROM STDIN"
MARK = """
INSERT INTO metering_dirtybucket (org_id, hour)
SELECT DISTINCT org_id, date_trunc('hour', started_at::timestamptz, 'UTC')
FROM unnest(%s::bigint[], %s::text[]) AS fresh (org_id, started_at)
"""
ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
NULL = r"\N"
T = TypeVar("T")
_encode = msgspec.json.Encoder().encode

# A row in the text format of COPY: `%.200s` cuts as it writes, which costs less than a slice for each column.
ROW = "\t".join("%s" if column.longest is None else f"%.{column.longest}s" for column in COLUMNS) + "\n"
UNCUT_ROW = "\t".join("%s" for _ in COLUMNS) + "\n"
_fields_of: Callable[[UsageRecord], tuple[Any, ...]] = attrgetter(*(column.name for column in COLUMNS))
_AS_JSON = [at for at, column in enumerate(COLUMNS) if column.kind == "jsonb"]
_NULLABLE = [at for at, column in enumerate(COLUMNS) if column.nullable]
_BOUNDED = [(at, column.largest) for at, column in enumerate(COLUMNS) if column.largest is not None]
_WITH_TEXT = [(at, column.longest) for at, column in enumerate(COLUMNS) if column.kind in ("text", "jsonb")]


def copy(
    cursor: psycopg.Cursor, lines: Sequence[bytes], records: Sequence[UsageRecord], hooks: Iterable[BatchHook]
) -> int:
    """Records what was never recorded, marks its hours dirty and runs the hooks.

    Args and what else it raises: as `ingest.insert`.

    Raises:
        psycopg.errors.UniqueViolation: at least one of them is recorded already.
    """
    with cursor.copy(COPY) as stream:
        for some in batched(zip(lines, records, strict=True)):
            stream.write("".join([_row(line, record) for line, record in some]))
    cursor.execute(MARK, _hours(records))
    for hook in hooks:
        hook(cursor, records)
    return len(records)


def _hours(records: Iterable[UsageRecord]) -> list[list[int] | list[str]]:
    """One moment of each hour of each organisation, told apart by how its text begins and by its offset."""
    moments = {(r.org_id, r.started_at[:13], r.started_at[-6:]): r.started_at for r in records}
    return [[org_id for org_id, _, _ in moments], [*moments.values()]]


def batched(rows: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(rows)
    while some := [*islice(rest, AT_ONCE)]:
        yield some


def _row(line: bytes, record: UsageRecord) -> str:
    """In the text format of COPY; `record` is that of the line."""
    if not line.isascii():
        line.decode()  # `insert` refuses such a line as well
    if b"\\" not in line:
        return ROW % tuple(_marked(_values(record)))
    # Where JSON had to escape something, COPY may have to.
    values = _values(cleaned(record) if NUL in line else record)
    for at, longest in _WITH_TEXT:
        if values[at] is not None:
            values[at] = values[at][:longest].translate(ESCAPED)  # cut first, or half an escape could remain
    return UNCUT_ROW % tuple(_marked(values))


def _values(record: UsageRecord) -> list[Any]:
    values = [*_fields_of(record)]
    for at in _AS_JSON:
        if values[at] is not None:
            values[at] = _encode(values[at]).decode()
    for at, largest in _BOUNDED:
        values[at] = min(max(values[at], 0), largest)
    return values


def _marked(values: list[Any]) -> list[Any]:
    """With COPY's word for what is not there."""
    for at in _NULLABLE:
        if values[at] is None:
            values[at] = NULL
    return values
