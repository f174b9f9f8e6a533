"""Counts what became of requests while a canary runs, in the transaction that records them: each once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from metering.usage import HIT, UsageRecord
from routing.canary_draw import STABLE, UNSERVED

if TYPE_CHECKING:
    import psycopg

NOT_SAYING = frozenset((401, 402, 403, 408, 409, 413, 429, 499))
"""Statuses that are of the caller's making, or of a limit: they tell nothing of a version."""

ADD = """
INSERT INTO routing_canarycount AS c
    (org_id, canary_id, is_canary, minute, requests, errors, ttft_ms_sum, ttft_count, duration_ms_sum, cost_nanos)
SELECT k.org_id, k.id, %s, %s, %s, %s, %s, %s, %s, %s FROM routing_canary k WHERE k.public_id = %s AND k.org_id = %s
ON CONFLICT (canary_id, is_canary, minute) DO UPDATE SET
    requests = c.requests + excluded.requests, errors = c.errors + excluded.errors,
    ttft_ms_sum = c.ttft_ms_sum + excluded.ttft_ms_sum, ttft_count = c.ttft_count + excluded.ttft_count,
    duration_ms_sum = c.duration_ms_sum + excluded.duration_ms_sum, cost_nanos = c.cost_nanos + excluded.cost_nanos
"""

Bucket = tuple[str, int, bool, datetime]


class Counts:
    """The recorder's hook."""

    def __call__(self, cursor: psycopg.Cursor, records: Sequence[UsageRecord]) -> None:
        sums: defaultdict[Bucket, list[int]] = defaultdict(lambda: [0] * 6)
        for record in records:
            if record.metadata is not None and "canary" in record.metadata and says_something(record):
                _add(sums[_bucket_of(record)], record)
        # In one order everywhere, so that two recorders do not wait for each other.
        for bucket in sorted(sums):
            public_id, org_id, is_canary, minute = bucket
            cursor.execute(ADD, (is_canary, minute, *sums[bucket], public_id, org_id))


def counter() -> Counts:
    return Counts()


def says_something(record: UsageRecord) -> bool:
    return record.status not in NOT_SAYING and record.cache != HIT


def failed(record: UsageRecord) -> bool:
    """For its caller: a refusal, a stream that broke off, or a canary that had nobody to ask."""
    assert record.metadata is not None
    return record.status >= 400 or record.error_code != "" or record.metadata["version"] == UNSERVED


def _bucket_of(record: UsageRecord) -> Bucket:
    assert record.metadata is not None
    minute = datetime.fromisoformat(record.started_at).replace(second=0, microsecond=0)
    return record.metadata["canary"], record.org_id, record.metadata["version"] != STABLE, minute


def _add(sums: list[int], record: UsageRecord) -> None:
    is_timed = record.ttft_ms is not None
    amounts = (1, failed(record), record.ttft_ms or 0, is_timed, record.duration_ms, record.cost_nanos)
    for place, amount in enumerate(amounts):
        sums[place] += int(amount)
