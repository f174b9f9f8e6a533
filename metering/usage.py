"""The usage record: one per request, however it ended. The journal writes it, PostgreSQL keeps it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

from common.rates import TokenDetails


class AttemptUsage(msgspec.Struct, frozen=True, gc=False):
    """One target's part of a request that several answered, and what it cost. `charged` says whether the customer
    pays for it."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_nanos: int
    usage_source: str
    price_version: int | None = None
    charged: bool = True
    token_details: TokenDetails | None = None


class AttemptRecord(msgspec.Struct, frozen=True, gc=False):
    """One try at one target. `outcome` is `ok` or the reason for which the gateway went on.

    Times in milliseconds; `started_ms` counts from the start of the request. `used` is there where the row's own
    figures are sums of several attempts, or leave this one out.
    """

    target: str
    target_id: int
    credential: str
    outcome: str
    status: int | None
    started_ms: int
    duration_ms: int
    ttft_ms: int | None = None
    detail: str = ""
    used: AttemptUsage | msgspec.UnsetType = msgspec.UNSET


HEDGE_LOST = "hedge_lost"
"""The outcome of an attempt that another one, made besides it, forestalled."""

HIT, MISS = "HIT", "MISS"
"""Values of `cache`: answered from what was kept, or looked for there in vain. Empty where no rule keeps answers."""


TRACE_ID = "trace_id"
"""Under `metadata`: the trace of its caller's that a request belongs to, as its `traceparent` said."""

CHECKPOINT: Literal["checkpoint"] = "checkpoint"


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The columns of `metering_usage` by their names. `started_at` is ISO 8601 in UTC; money in nano-USD.

    In the journal a field with its default value is left out. Of the journal alone are `kind`: a CHECKPOINT says what
    the row is to be if nothing more is ever heard of the request; and `lessee` and `charges`: by whose leases the
    request was covered, and what each account of the ledger is to be charged.
    """

    kind: Literal["", "checkpoint"] = ""
    request_id: str
    started_at: str
    org_id: int
    key_id: int | None
    user_id: int | None
    endpoint: str
    model: str
    status: int
    usage_source: str
    billing_reason: str
    route: str = ""
    target: str = ""
    target_id: int | None = None
    error_code: str = ""
    stream: bool = False
    finish_reason: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_nanos: int = 0
    price_version: int | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    attempt_count: int = 0
    duration_ms: int = 0
    ttft_ms: int | None = None
    overhead_us: int | None = None
    sdk_retry: int = 0
    user_agent: str = ""
    metadata: dict[str, str] | None = None
    cache: str = ""
    saved_nanos: int = 0
    prompt_hash: int = 0
    token_details: TokenDetails | None = None
    lessee: str = ""
    charges: tuple[tuple[int, int], ...] = ()


def moment_now() -> str:
    """ISO 8601 in UTC, with microseconds; at half of the price of `datetime`'s own."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}+00:00"


@lru_cache(2)
def _second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat()[: len("2026-01-01T00:00:00")]


def cleaned(record: UsageRecord) -> UsageRecord:
    """Without what JSON or PostgreSQL cannot hold: NUL characters are dropped, lone surrogates become `?`.

    Such text comes from callers; it must never be a way to be served and not recorded.
    """
    return msgspec.convert(_cleaned(msgspec.to_builtins(record)), UsageRecord)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value]
    return value
