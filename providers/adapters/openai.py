"""OpenAI's own dialect, which most vendors and all local model servers speak.

Answers pass through byte by byte. Only what steers the gateway is read: finish reason, usage, errors.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import orjson

from providers.adapters.base import Adapter, Completion, StreamDecoder
from providers.adapters.openai_answers import READERS, check_text
from providers.adapters.openai_stream import OpenAIStreamDecoder
from providers.adapters.openai_usage import Usage, usage_of
from providers.failures import Kind, UpstreamFailure, kind_of_status
from providers.prefill import how_to_go_on
from providers.schema import CHAT, EMBEDDINGS, Call, upstream_body
from providers.targets import LIMIT_NAME, Credential, Target
from providers.transport import UpstreamRequest

_LONGEST_RETRY_AFTER_S = 300.0
_LIMITS = ("max_tokens", "max_completion_tokens")
_JSON = ("Content-Type", "application/json")
_ACCEPT_JSON = ("Accept", "application/json")
_ACCEPT_STREAM = ("Accept", "text/event-stream")
_AGENT = ("User-Agent", "ShareAI/1")
_IDENTITY = ("Accept-Encoding", "identity")
_HEADERS_JSON = (_JSON, _ACCEPT_JSON, _AGENT, _IDENTITY)
_HEADERS_STREAM = (_JSON, _ACCEPT_STREAM, _AGENT, _IDENTITY)


class _Message(msgspec.Struct):
    content: Any = None
    tool_calls: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    message: _Message | None = None
    text: str | None = None


class _Vector(msgspec.Struct):
    """One embedding; its figures are not read."""

    index: int | None = None


class _Answer(msgspec.Struct):
    """The few fields of an answer that the gateway reads, of chat, completions and embeddings alike."""

    error: Any = None
    choices: list[_Choice] | None = None
    data: list[_Vector] | None = None
    usage: Usage | None = None


_decode_answer = msgspec.json.Decoder(_Answer, strict=True).decode


def _rename_limit(body: dict[str, Any], name: str) -> None:
    """A limit that the gateway set, or a client of another age, reaches models that refuse its other name."""
    for other in _LIMITS:
        if other != name and (limit := body.pop(other, None)) is not None:
            body[name] = limit


class OpenAIAdapter(Adapter):
    def request(self, call: Call, target: Target, credential: Credential | None) -> UpstreamRequest:
        headers: tuple[tuple[str, str], ...] = _HEADERS_STREAM if call.stream else _HEADERS_JSON
        if credential is not None:
            headers = headers + credential.headers
        body = upstream_body(call, target.upstream_id, target.dropped_params)
        if (limit := target.options.get(LIMIT_NAME)) and call.endpoint == CHAT:
            _rename_limit(body, limit)
        if call.continues:
            body |= how_to_go_on(target.options.get("runtime", ""))
        return UpstreamRequest(_path(call, target), headers, orjson.dumps(body))

    def completion(self, call: Call, body: bytes) -> Completion:
        if (read := READERS.get(call.endpoint)) is not None:
            return read(call, body)
        try:
            answer = _decode_answer(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # A ValidationError is a DecodeError: wrong types are as malformed as broken JSON.
            answer = _without_usage(body, error)
        if answer.error:
            raise UpstreamFailure(Kind.ERROR_IN_BODY, "an error inside a 200")
        usage = usage_of(answer.usage)
        if call.endpoint == EMBEDDINGS:
            if not answer.data:
                raise UpstreamFailure(Kind.EMPTY, "no embeddings in the answer")
            check_text(body)
            return Completion(body, usage, "")
        if not answer.choices:
            raise UpstreamFailure(Kind.EMPTY, "no choices in the answer")
        first = answer.choices[0]
        if first.message is None and first.text is None:
            raise UpstreamFailure(Kind.MALFORMED, "a choice without message or text")
        text = "" if usage else "".join(_text(choice) for choice in answer.choices)
        return Completion(body, usage, first.finish_reason or "", text)

    def decoder(self, call: Call) -> StreamDecoder:
        return OpenAIStreamDecoder(keep_usage=call.include_usage)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamFailure:
        kind = kind_of_status(status)
        detail = f"HTTP {status}"
        if kind is Kind.REJECTED:
            return UpstreamFailure(kind, detail, status=status, body=_error_object(body))
        return UpstreamFailure(kind, detail, status=status, retry_after_s=retry_after_s(headers))


def _path(call: Call, target: Target) -> str:
    version = target.options.get("api_version")
    return f"/{call.endpoint}?api-version={version}" if version else f"/{call.endpoint}"


def _text(choice: _Choice) -> str:
    if choice.message is None:
        return choice.text or ""
    content = choice.message.content
    tool_calls = choice.message.tool_calls
    return (content if isinstance(content, str) else "") + (orjson.dumps(tool_calls).decode() if tool_calls else "")


def _without_usage(body: bytes, error: Exception) -> _Answer:
    """A second chance for an answer that is right but for its usage (NaN, text, floats, 1e18)."""
    try:
        loose = orjson.loads(body)
        if isinstance(loose, dict):
            loose.pop("usage", None)
        return msgspec.convert(loose, _Answer)
    except (orjson.JSONDecodeError, msgspec.ValidationError):
        raise UpstreamFailure(Kind.MALFORMED, "not an answer in OpenAI's form") from error


def _error_object(body: bytes) -> bytes | None:
    """The upstream's error when it is one in OpenAI's form, for the caller whose mistake it explains."""
    try:
        error = orjson.loads(body).get("error")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return body if isinstance(error, dict) and isinstance(error.get("message"), str) else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`retry-after-ms` or `Retry-After` (seconds or a date), bounded; None when absent or nonsense."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            seconds = float(milliseconds) / 1000
        elif (value := headers.get("Retry-After")) is None:
            return None
        elif value[:1].isalpha():
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        else:
            seconds = float(value)
    except ValueError:
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S) if seconds == seconds else None
