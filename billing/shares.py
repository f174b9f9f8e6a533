"""A request that several targets answered is charged target by target: each by its own price, to its own owner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from metering.usage import AttemptRecord, AttemptUsage, UsageRecord


def shares_of(records: Iterable[UsageRecord]) -> Iterator[UsageRecord]:
    """The records, those of several targets replaced by one of each: `req_1#2` is what its second attempt used."""
    for record in records:
        if len(record.attempts) == 1 and record.attempts[0].used is msgspec.UNSET:
            yield record  # nearly every one
            continue
        shares = [
            _share(record, number, attempt, attempt.used)
            for number, attempt in enumerate(record.attempts, 1)
            if isinstance(attempt.used, AttemptUsage) and attempt.used.charged
        ]
        yield from shares or [record]


def _share(record: UsageRecord, number: int, attempt: AttemptRecord, used: AttemptUsage) -> UsageRecord:
    return msgspec.structs.replace(
        record,
        request_id=f"{record.request_id}#{number}",
        target=attempt.target,
        target_id=attempt.target_id,
        price_version=used.price_version,
        input_tokens=used.input_tokens,
        cached_tokens=used.cached_tokens,
        output_tokens=used.output_tokens,
        cost_nanos=used.cost_nanos,
        token_details=used.token_details,
    )
