"""Puts many records into `metering_usage` at once, by COPY: how a recorder that lags behind catches up.

It costs PostgreSQL a third of what `metering.ingest.insert` does, and this process more; and PostgreSQL works on what
was sent while this process writes the rest. COPY knows no exceptions: where one of the records is there already, all
of the transaction is lost, and the batch is for `insert`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import msgspec
import psycopg

from metering.ingest import NUL, TYPES, BatchHook
from metering.usage import UsageRecord, cleaned

AT_LEAST = 800
"""So many are no batch of a process that keeps up: those are left to `insert`, which costs this process less."""
AT_ONCE = 128
"""Rows that are sent together."""
COPY = f"COPY metering_usage ({', '.join(TYPES)}) FROM STDIN"
MARK = """
INSERT INTO metering_dirtybucket (org_id, hour)
SELECT DISTINCT org_id, date_trunc('hour', started_at::timestamptz, 'UTC')
FROM unnest(%s::bigint[], %s::text[]) AS fresh (org_id, started_at)
"""
ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
LARGEST_SDK_RETRY = 32_767
NULL = r"\N"
T = TypeVar("T")
_encode = msgspec.json.Encoder().encode


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


def _row(line: bytes, r: UsageRecord) -> str:
    """In the text format of COPY; `r` is the record of the line."""
    if not line.isascii():
        line.decode()  # `insert` refuses such a line as well
    if b"\\" in line:
        return _escaped_row(line, r)
    metadata = NULL if r.metadata is None else _encode(r.metadata).decode()
    return _joined(r, _texts(r), _encode(r.attempts).decode(), metadata)


def _escaped_row(line: bytes, r: UsageRecord) -> str:
    """Where JSON had to escape something, COPY may have to."""
    if NUL in line:
        r = cleaned(r)
    metadata = NULL if r.metadata is None else _encode(r.metadata).decode().translate(ESCAPED)
    texts = [text.translate(ESCAPED) for text in _texts(r)]
    return _joined(r, texts, _encode(r.attempts).decode().translate(ESCAPED), metadata)


def _texts(r: UsageRecord) -> Sequence[str]:
    """What a caller may choose freely is cut to its column, as in `ingest.CLIPPED`."""
    return (
        r.request_id, r.started_at, r.endpoint[:30], r.model[:200], r.usage_source, r.billing_reason, r.route[:200],
        r.target[:260], r.error_code[:40], r.finish_reason[:20], r.user_agent[:120], r.cache,
    )  # fmt: skip


def _joined(r: UsageRecord, texts: Sequence[str], attempts: str, metadata: str) -> str:
    (
        request_id, started_at, endpoint, model, usage_source, billing_reason, route, target, error_code,
        finish_reason, user_agent, cache,
    ) = texts  # fmt: skip
    sdk_retry = min(max(r.sdk_retry, 0), LARGEST_SDK_RETRY)
    return (
        f"{request_id}\t{started_at}\t{r.org_id}\t{_or_null(r.key_id)}\t{_or_null(r.user_id)}\t{endpoint}\t{model}\t"
        f"{r.status}\t{usage_source}\t{billing_reason}\t{route}\t{target}\t{_or_null(r.target_id)}\t{error_code}\t"
        f"{r.stream}\t{finish_reason}\t{r.input_tokens}\t{r.cached_tokens}\t{r.output_tokens}\t{r.cost_nanos}\t"
        f"{_or_null(r.price_version)}\t{attempts}\t{r.attempt_count}\t{r.duration_ms}\t{_or_null(r.ttft_ms)}\t"
        f"{_or_null(r.overhead_us)}\t{sdk_retry}\t{user_agent}\t{metadata}\t{cache}\t{r.saved_nanos}\t{r.prompt_hash}\t"
        f"{NULL if r.token_details is None else _encode(r.token_details).decode()}\n"
    )


def _or_null(figure: int | None) -> int | str:
    return NULL if figure is None else figure
