"""An entry as a caller wants it, whole or as a stream, with usage and trace for who asked; recorded as a hit."""

from __future__ import annotations

from time import monotonic, time

from routing.asked import Asked
from routing.cache_entries import Entry
from routing.cache_forms import events_of, whole_of
from routing.flights import Headers
from routing.rendering import (
    DONE,
    answer_headers,
    cache_headers,
    cost_header,
    trace_event,
    trace_of,
    usage_event,
    with_trace,
)
from routing.replies import JSON_TYPE, STREAM_HEADERS, Reply


def hit_reply(entry: Entry, asked: Asked, similarity: float | None = None) -> Reply:
    """A stream goes out in one piece. `similarity` is that of another question to which this was the answer."""
    body = _events(entry, asked) if asked.call.stream else _whole(entry, asked)
    asked.settlement.settle_hit(entry.usage, entry.finish_reason, entry.cost_nanos)
    headers = hit_headers(entry.target, asked, entry.age_s(time()), entry.dropped, similarity)
    return Reply(200, [*STREAM_HEADERS, *headers] if asked.call.stream else [JSON_TYPE, *headers], body)


def hit_headers(
    target: str, asked: Asked, age_s: float, dropped: tuple[str, ...], similarity: float | None = None
) -> Headers:
    overhead_s = monotonic() - asked.trail.started
    headers = answer_headers(asked.call.request_id, target, asked.plan.route, 0, overhead_s, None, dropped)
    kind = cache_headers(b"HIT", age_s)
    if similarity is not None:
        kind = [*cache_headers(b"semantic", age_s), (b"x-shareai-cache-similarity", b"%.4f" % similarity)]
    return [*headers, *kind, cost_header(0), *asked.settlement.limit_headers]


def tail_of(entry: Entry, asked: Asked) -> bytes:
    """What ends a stream."""
    call, tail = asked.call, DONE
    if call.wants_trace:
        tail = trace_event(call, trace_of(asked.plan, asked.trail.attempts)) + tail
    return usage_event(call, entry.usage) + tail if call.include_usage else tail


def _events(entry: Entry, asked: Asked) -> bytes:
    events = entry.body if entry.streamed else events_of(asked.call.endpoint, entry.body)
    return events + tail_of(entry, asked)


def _whole(entry: Entry, asked: Asked) -> bytes:
    call = asked.call
    body = whole_of(call.endpoint, entry.body, entry.usage) if entry.streamed else entry.body
    return with_trace(body, trace_of(asked.plan, asked.trail.attempts)) if call.wants_trace else body
