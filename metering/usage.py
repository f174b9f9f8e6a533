"""The usage record: one per request, however it ended. The journal writes it, PostgreSQL keeps it."""

from __future__ import annotations

import msgspec


class AttemptRecord(msgspec.Struct, frozen=True):
    """One try at one target. `outcome` is `ok` or the reason for which the gateway went on.

    Times in milliseconds; `started_ms` counts from the start of the request.
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


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of `metering_usage` by their names. `started_at` is ISO 8601 in UTC; money in nano-USD."""

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
