"""An answer that is kept: what was said, in the form in which it came, and what it took to get it."""

from __future__ import annotations

import zlib
from time import time

import msgspec

from metering.usage import UsageRecord
from providers.adapters.base import TokenUsage
from providers.endpoints import KEPT_WHOLE

MOST_ENTRY_BYTES = 1 << 20
_PACKED_LEVEL = 1


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """`body` is a whole answer, or the events of a stream without usage and terminator. `stored_at` is Unix time.

    `cost_nanos` is what the answer cost once, and so what is saved each time it is given again. `dropped` are the
    parameters that were not sent to the target.
    """

    streamed: bool
    body: bytes
    stored_at: float
    target: str
    finish_reason: str
    usage: TokenUsage
    cost_nanos: int
    dropped: tuple[str, ...] = ()

    def age_s(self, now: float) -> float:
        return max(now - self.stored_at, 0.0)


def entry_of(body: bytes, *, streamed: bool, record: UsageRecord, dropped: tuple[str, ...]) -> Entry:
    """Args: record: of the request that brought the answer."""
    usage = TokenUsage(record.input_tokens, record.output_tokens, record.cached_tokens, record.usage_source)
    return Entry(streamed, body, time(), record.target, record.finish_reason, usage, record.cost_nanos, dropped)


def may_be_kept(entry: Entry, endpoint: str) -> bool:
    """A whole answer of a bounded size: one that was cut off by its provider's filter, or never said that it ended,
    may come out otherwise the next time."""
    if len(entry.body) > MOST_ENTRY_BYTES or entry.finish_reason in ("content_filter", "error"):
        return False
    return bool(entry.finish_reason) or endpoint in KEPT_WHOLE


def packed(entry: Entry) -> bytes:
    return zlib.compress(_encode(entry), _PACKED_LEVEL)


def unpacked(data: bytes) -> Entry | None:
    """None for what is no entry, such as one of another version."""
    try:
        return _decode(zlib.decompressobj().decompress(data, 2 * MOST_ENTRY_BYTES))
    except (zlib.error, msgspec.DecodeError):
        return None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode
