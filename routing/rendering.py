"""How answers and refusals look: OpenAI's JSON, SSE, and the headers of ShareAI."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import orjson
from msgspec import UNSET

from common.errors import ShareAIError
from common.money import usd_text
from metering.usage import TRACE_ID, AttemptRecord
from providers.adapters.base import TokenUsage
from providers.failures import Kind, UpstreamFailure
from providers.schema import CHAT, Call
from routing.flights import Headers
from routing.plans import Plan
from routing.replies import JSON_TYPE, Reply

DONE = b"data: [DONE]\n\n"
_PLAIN = "".join(map(chr, range(ord(" "), ord("~") + 1))).replace("%", "")
_MOST_NAMES = 4096
_DROPPED = b"x-shareai-dropped-params"
NO_HEAD: Mapping[str, Any] = MappingProxyType({})


@lru_cache(_MOST_NAMES)
def in_header(name: str) -> bytes:
    """As a header holds it, of whichever alphabet: what is not ASCII as UTF-8 in percent. `from_header` reads it."""
    return quote(name, safe=_PLAIN).encode()


def from_header(value: str) -> str:
    return unquote(value)


def json_reply(status: int, value: Any, request_id: str, headers: Headers | None = None) -> Reply:
    return Reply(status, [JSON_TYPE, (b"x-request-id", request_id.encode()), *(headers or [])], orjson.dumps(value))


def error_reply(
    error: ShareAIError, request_id: str, headers: Headers | None = None, trace: dict[str, Any] | None = None
) -> Reply:
    body = error.body()
    if trace is not None:
        body["shareai"] = trace
    return json_reply(error.status, body, request_id, [*error.headers(), *(headers or [])])


def answer_headers(
    request_id: str,
    target: str,
    route: str,
    attempts: int,
    overhead_s: float,
    ttft_s: float | None,
    dropped: tuple[str, ...] = (),
) -> Headers:
    """`dropped` are the parameters of the request that were not sent, since the target cannot take them."""
    headers = [
        (b"x-request-id", request_id.encode()),
        (b"x-shareai-target", in_header(target)),
        (b"x-shareai-attempts", b"%d" % attempts),
        (b"x-shareai-overhead-ms", b"%.2f" % (overhead_s * 1000)),
    ]
    if route:
        headers.append((b"x-shareai-route", in_header(route)))
    if ttft_s is not None:
        headers.append((b"x-shareai-ttft-ms", b"%d" % round(ttft_s * 1000)))
    if dropped:
        headers.append((_DROPPED, ", ".join(dropped).encode()))
    return headers


def dropped_in(headers: Headers) -> tuple[str, ...]:
    """Which `answer_headers` was told of."""
    told = dict(headers).get(_DROPPED)
    return () if told is None else tuple(told.decode().split(", "))


def cache_headers(status: bytes, age_s: float | None = None) -> Headers:
    age = [] if age_s is None else [(b"x-shareai-cache-age", b"%d" % age_s)]
    return [(b"x-shareai-cache", status), *age]


def cost_header(cost_nanos: int) -> tuple[bytes, bytes]:
    return b"x-shareai-cost", usd_text(cost_nanos).encode()


def trace_of(plan: Plan | None, attempts: list[AttemptRecord], trace_id: str = "") -> dict[str, Any]:
    """The routing trace, for a body whose caller asked for it. `trace_id` stands in for a plan that was not made."""
    tried = [
        {
            "target": attempt.target,
            "outcome": attempt.outcome,
            "status": attempt.status,
            "started_ms": attempt.started_ms,
            "duration_ms": attempt.duration_ms,
            **({} if attempt.used is UNSET else {"usage": msgspec.to_builtins(attempt.used)}),
        }
        for attempt in attempts
    ]
    trace_id = plan.trace_id if plan is not None else trace_id
    said = {"attempts": tried, **({TRACE_ID: trace_id} if trace_id else {})}
    if plan is None:
        return said
    return {
        "route": plan.route or None,
        "rule": plan.rule or None,
        **({"version": plan.variant["version"]} if plan.variant else {}),
        "strategy": plan.strategy,
        "candidates": [candidate.target.name for candidate in plan.candidates],
        "rejected": [{"target": item.target, "reason": item.reason} for item in plan.rejected],
        **said,
    }


def with_usage(body: bytes, usage: TokenUsage) -> bytes:
    """The body of a whole answer with what the gateway counted, for an upstream that said nothing believable."""
    return orjson.dumps({**orjson.loads(body), "usage": usage_object(usage)})


def rejected_error(status: int, body: bytes | None, target: str) -> ShareAIError:
    """An upstream's refusal of the request itself, as our error: its words, the four keys always present."""
    said = orjson.loads(body)["error"] if body else {}
    return ShareAIError(
        said.get("message") or f"The provider refused the request with HTTP {status}.",
        code=str(said.get("code") or "rejected_upstream"),
        type=str(said.get("type") or "invalid_request_error"),
        status=status,
        param=said.get("param"),
        metadata={"target": target},
    )


def with_trace(body: bytes, trace: dict[str, Any]) -> bytes:
    """The body of a whole answer with the trace under `shareai`."""
    return orjson.dumps({**orjson.loads(body), "shareai": trace})


def trace_event(call: Call, trace: dict[str, Any]) -> bytes:
    """The last chunk before the terminator, holding nothing but the trace."""
    return _event({**_chunk(call), "choices": [], "shareai": trace})


def usage_event(call: Call, usage: TokenUsage, head: Mapping[str, Any] = NO_HEAD) -> bytes:
    """The usage chunk that the caller asked for and no upstream sent. `head` is what the stream's events share."""
    return _event({**_chunk(call), **head, "choices": [], "usage": usage_object(usage)})


def error_event(
    call: Call,
    code: str,
    message: str,
    metadata: dict[str, Any] | None = None,
    trace: dict[str, Any] | None = None,
) -> bytes:
    """How a stream that cannot go on says so; the SDKs raise on it. Not followed by a terminator."""
    empty: dict[str, Any] = {"delta": {"content": ""}} if call.endpoint == CHAT else {"text": ""}
    return _event(
        {
            **_chunk(call),
            "error": {
                "message": message,
                "type": "upstream_error",
                "param": None,
                "code": code,
                "metadata": metadata,
            },
            "choices": [{"index": 0, **empty, "finish_reason": "error"}],
            **({} if trace is None else {"shareai": trace}),
        }
    )


def interrupted_event(
    call: Call, failure: UpstreamFailure, target: str, trace: dict[str, Any] | None = None
) -> bytes:
    code = "upstream_timeout" if failure.kind is Kind.IDLE_TIMEOUT else "upstream_interrupted"
    return error_event(
        call,
        code,
        "The provider broke off in the middle of its answer.",
        {"target": target, "reason": str(failure.kind)},
        trace,
    )


def usage_object(usage: TokenUsage) -> dict[str, Any]:
    said: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    return said | ({"prompt_tokens_details": {"cached_tokens": usage.cached_tokens}} if usage.cached_tokens else {})


def _chunk(call: Call) -> dict[str, Any]:
    kind = "chat.completion.chunk" if call.endpoint == CHAT else "text_completion"
    return {"id": call.request_id, "object": kind, "created": int(time.time()), "model": call.model}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
