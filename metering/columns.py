"""The columns of `metering_usage` that the journal fills, stated once for both ways in, `ingest` and `copying`."""

from __future__ import annotations

from typing import Literal, NamedTuple

from metering.usage import UsageRecord


class Column(NamedTuple):
    """A field of `UsageRecord` and how PostgreSQL keeps it.

    What a caller may choose freely has `longest` (in characters) or `largest`, and is cut to it, so that nobody is
    served unrecorded for a long name.
    """

    name: str
    kind: Literal["text", "timestamptz", "bigint", "integer", "smallint", "boolean", "jsonb"]
    nullable: bool = False
    longest: int | None = None
    largest: int | None = None


COLUMNS = (
    Column("request_id", "text"),
    Column("started_at", "timestamptz"),
    Column("org_id", "bigint"),
    Column("key_id", "bigint", nullable=True),
    Column("user_id", "bigint", nullable=True),
    Column("endpoint", "text", longest=30),
    Column("model", "text", longest=200),
    Column("status", "smallint"),
    Column("usage_source", "text"),
    Column("billing_reason", "text"),
    Column("route", "text", longest=200),
    Column("target", "text", longest=260),
    Column("target_id", "bigint", nullable=True),
    Column("error_code", "text", longest=40),
    Column("stream", "boolean"),
    Column("finish_reason", "text", longest=20),
    Column("input_tokens", "bigint"),
    Column("cached_tokens", "bigint"),
    Column("output_tokens", "bigint"),
    Column("cost_nanos", "bigint"),
    Column("price_version", "integer", nullable=True),
    Column("attempts", "jsonb"),
    Column("attempt_count", "smallint"),
    Column("duration_ms", "integer"),
    Column("ttft_ms", "integer", nullable=True),
    Column("overhead_us", "integer", nullable=True),
    Column("sdk_retry", "integer", largest=32_767),
    Column("user_agent", "text", longest=120),
    Column("metadata", "jsonb", nullable=True),
    Column("cache", "text"),
    Column("saved_nanos", "bigint"),
    Column("prompt_hash", "bigint"),
    Column("token_details", "jsonb", nullable=True),
)
OF_THE_JOURNAL = {"kind", "lessee", "charges"}
"""Fields of `UsageRecord` that are no columns."""

_columns, _fields = {column.name for column in COLUMNS}, {*UsageRecord.__struct_fields__} - OF_THE_JOURNAL
if _columns != _fields:  # a field without its column would be lost in silence
    raise TypeError(f"Only one of UsageRecord and COLUMNS has: {', '.join(sorted(_columns ^ _fields))}")
