"""Past requests for simulations, read from the usage rows in batches, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from django.db.models import Q, QuerySet

from accounts.models import Organization
from common.rates import TokenDetails
from metering.models import Usage
from metering.usage import HEDGE_LOST, HIT
from routing.simulation import OK, Met, Past

BATCH = 2000
MOST_KEPT_BYTES = 128 << 20
"""About half a million requests."""
_FIELDS = (
    *("started_at", "key_id", "endpoint", "stream", "status", "input_tokens", "cached_tokens", "output_tokens"),
    *("cost_nanos", "ttft_ms", "attempts", "token_details"),
)


def rows_of(organization: Organization, traffic: str, begins_at: datetime, ends_at: datetime) -> QuerySet[Usage]:
    """What was answered, or could not be by anybody's fault but the caller's; nothing that the cache answered."""
    rows = Usage.objects.of(organization).filter(started_at__gte=begins_at, started_at__lt=ends_at)
    rows = rows.filter(Q(status=200) | Q(status__gte=500)).exclude(cache=HIT)
    return rows.filter(Q(route=traffic) | Q(model=traffic)) if traffic else rows


def batches(rows: QuerySet[Usage], keys: Mapping[int, str]) -> Iterator[list[Past]]:
    """`keys` gives the public id of each key."""
    batch: list[Past] = []
    for row in rows.order_by("started_at").values_list(*_FIELDS).iterator(chunk_size=BATCH):
        batch.append(_past(row, keys))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class Kept:
    """Batches that were read, packed, so that PostgreSQL is not asked for them again; up to `MOST_KEPT_BYTES`."""

    def __init__(self) -> None:
        self._packed: list[bytes] | None = []
        self._bytes = 0

    def keep(self, batch: list[Past]) -> None:
        if self._packed is None:
            return
        self._packed.append(_pack(batch))
        self._bytes += len(self._packed[-1])
        if self._bytes > MOST_KEPT_BYTES:
            self._packed = None

    def again(self) -> Iterator[list[Past]] | None:
        """None where there were too many."""
        return None if self._packed is None else map(_unpack, self._packed)


_pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(list[Past]).decode


def _past(row: tuple[Any, ...], keys: Mapping[int, str]) -> Past:
    at, key_id, endpoint, stream, status, *counts, cost_nanos, ttft_ms, met, kinds = row
    input_tokens, cached_tokens, output_tokens = counts
    return Past(
        at=at,
        key_id=keys.get(key_id, ""),
        endpoint=endpoint,
        stream=stream,
        failed=status != 200,
        input_tokens=input_tokens,
        cached_tokens=cached_tokens,
        output_tokens=output_tokens,
        cost_nanos=cost_nanos,
        first_token_ms=ttft_ms,
        met=tuple(_met(attempt) for attempt in met if attempt["outcome"] != HEDGE_LOST),
        token_details=None if kinds is None else msgspec.convert(kinds, TokenDetails),
    )


def _met(attempt: Mapping[str, Any]) -> Met:
    ttft_ms = attempt.get("ttft_ms") if attempt["outcome"] == OK else None
    return Met(attempt["target"], attempt["outcome"], attempt["duration_ms"] if ttft_ms is None else ttft_ms)
