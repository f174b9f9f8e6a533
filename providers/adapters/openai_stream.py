"""Follows a stream in OpenAI's form while its bytes pass through.

What a chunk costs is the figure that matters most, so events are parsed only until the first content and
afterwards only where a marker (usage, error, finish reason, terminator) shows in the bytes. The exact decoder
of `common.sse` takes over for streams whose lines do not end in plain LF.
"""

from __future__ import annotations

import json
from typing import Any, TypeGuard

import orjson

from common.rates import TokenDetails, details_within
from common.sse import EventTooLarge, SSEDecoder
from providers.adapters.base import REPORTED, StreamDecoder, TokenUsage
from providers.adapters.cache_counts import ToldOfCache
from providers.failures import Kind, UpstreamFailure

MAX_EVENT_BYTES = 1 << 20
MOST_KEPT_BYTES = 256 * 1024
_MOST_TOKENS = 50_000_000


def _marked(data: str) -> bool:
    """Whether these bytes may hold more than content: the terminator, an error, a finish reason or usage.

    Many servers write `"usage":null` into each chunk, hence the counting. Spelled out, since it runs per chunk.
    """
    if "[DONE]" in data or '"error"' in data or '"finish_reason":"' in data or '"finish_reason": "' in data:
        return True
    usages = data.count('"usage"')
    return usages != 0 and usages != data.count('"usage":null') and usages != data.count('"usage": null')


class OpenAIStreamDecoder(StreamDecoder):
    def __init__(self, *, keep_usage: bool) -> None:
        self.committed = False
        self.finish_reason = ""
        self.done = False
        self.usage: TokenUsage | None = None
        self._keep_usage = keep_usage
        self._tail = b""
        self._exact: SSEDecoder | None = None
        self._given: list[bytes] = []
        self._given_bytes = 0
        self._text: list[str] = []
        self._is_plain = True

    def feed(self, chunk: bytes) -> bytes:
        text = chunk.decode("latin-1")
        if (
            self.committed
            and not self._tail
            and self._exact is None
            and text.endswith("\n\n")
            and "\r" not in text
            and "[DONE]" not in text
            and '"error"' not in text
            and '"finish_reason":"' not in text
            and '"finish_reason": "' not in text
            and ('"usage"' not in text or not _marked(text))
        ):
            # Nearly every chunk of every stream: whole events with nothing but content. Spelled out, since a call
            # costs more than what is asked; in text, since CPython finds it there in a sixth of the time.
            self._given.append(chunk)
            self._given_bytes += len(chunk)
            if self._given_bytes > MOST_KEPT_BYTES:
                self._text = [self.delivered_text()]
            return chunk
        if self._exact is None and "\r" not in text:
            out = self._feed_plain(chunk)
        else:
            out = self._feed_exact(chunk)
        return self._give(out) if out else out

    def _give(self, out: bytes) -> bytes:
        """Keeps what was sent for a count that may be needed, as text alone once it has grown."""
        self._given.append(out)
        self._given_bytes += len(out)
        if self._given_bytes > MOST_KEPT_BYTES:
            self._text = [self.delivered_text()]
        return out

    def finish(self) -> bytes:
        """The stream has ended: a last event without its blank line still counts if it is whole."""
        held = self._tail if self._exact is None else self._exact.unfinished
        tail, self._tail, self._exact = held.strip(), b"", None
        data = _data(tail)
        if data is None or (data != b"[DONE]" and _parsed(data) is None):
            return b""
        return self._event(tail + b"\n\n", tail)

    def delivered_text(self) -> str:
        lines = b"".join(self._given).split(b"\n")
        self._given, self._given_bytes = [], 0
        for line in lines:
            if line.startswith(b"data:"):
                parsed = _parsed(line[5:].strip())
                self._text.extend(_texts(parsed))
                self._is_plain = self._is_plain and _is_plain(parsed)
        return "".join(self._text)

    def plain_text(self) -> str | None:
        text = self.delivered_text()
        return text if self._is_plain else None

    def _feed_plain(self, chunk: bytes) -> bytes:
        data = self._tail + chunk if self._tail else chunk
        if data.endswith(b"\n\n"):
            self._tail = b""
        else:
            end = data.rfind(b"\n\n") + 2
            if end < 2:
                return self._hold(data)
            self._hold(data[end:])
            data = data[:end]
        if self.committed and not _marked(data.decode("latin-1")):
            return data
        return b"".join([self._event(event + b"\n\n", event) for event in data.split(b"\n\n") if event])

    def _hold(self, data: bytes) -> bytes:
        if len(data) > MAX_EVENT_BYTES:
            raise UpstreamFailure(Kind.TOO_LARGE, f"an event of more than {MAX_EVENT_BYTES} bytes")
        self._tail = data
        return b""

    def _feed_exact(self, chunk: bytes) -> bytes:
        """Any line endings: events are re-framed, their data unchanged."""
        if self._exact is None:
            self._exact = SSEDecoder(max_event_bytes=MAX_EVENT_BYTES)
            chunk, self._tail = self._tail + chunk, b""
        try:
            events = self._exact.feed(chunk)
        except EventTooLarge as error:
            raise UpstreamFailure(Kind.TOO_LARGE, str(error)) from error
        parts = []
        for event in events:
            framed = b"".join(b"data: " + line + b"\n" for line in event.data.split(b"\n"))
            parts.append(self._event(framed + b"\n", framed))
        return b"".join(parts)

    def _event(self, raw: bytes, event: bytes) -> bytes:
        """What of one event is sent on; its meaning is noted."""
        if self.done:
            return b""
        if self.committed and not _marked(event.decode("latin-1")):
            return raw
        data = _data(event)
        if data is None:
            # A comment before the commit point would send a 200 and end failover.
            return raw if self.committed else b""
        if data == b"[DONE]":
            self.done = True
            return b""
        return self._meaning(raw, _parsed(data))

    def _meaning(self, raw: bytes, parsed: Any) -> bytes:
        if not isinstance(parsed, dict):
            raise UpstreamFailure(Kind.MALFORMED, "an event that is no JSON object")
        if parsed.get("error"):
            raise UpstreamFailure(Kind.ERROR_IN_BODY, "an error event")
        usage = parsed.get("usage")
        choices = parsed.get("choices")
        if choices is not None and not isinstance(choices, list):
            raise UpstreamFailure(Kind.MALFORMED, "choices that are no array")
        believed = usage_of_event(usage) if usage else None
        self.usage = believed or self.usage
        for choice in choices or ():
            self._note(choice)
        if usage and (believed is None or not self._keep_usage):
            return b"" if not choices else _event_without_usage(parsed)
        return raw

    def _note(self, choice: Any) -> None:
        if not isinstance(choice, dict):
            raise UpstreamFailure(Kind.MALFORMED, "a choice that is no object")
        if reason := choice.get("finish_reason"):
            if reason == "error":
                raise UpstreamFailure(Kind.ERROR_IN_BODY, "an answer that ended in an error")
            self.finish_reason = str(reason)
            self.committed = True
        elif not self.committed:
            delta = choice.get("delta")
            self.committed = bool(choice.get("text")) or (isinstance(delta, dict) and _has_content(delta))


def _data(event: bytes) -> bytes | None:
    """The data of an event whose lines end in LF, or None for a comment or another field."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _parsed_loosely(data)


def _parsed_loosely(data: bytes) -> Any:
    """The standard library also reads NaN, which some servers write into their usage."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _has_content(delta: dict[str, Any]) -> bool:
    return any(value for name, value in delta.items() if name != "role")


def _texts(parsed: Any) -> list[str]:
    if not isinstance(parsed, dict):
        return []
    texts = []
    for choice in _objects(parsed.get("choices")):
        said = [choice.get("text")]
        for delta in _objects([choice.get("delta")]):
            said += [delta.get("content"), delta.get("reasoning_content"), delta.get("reasoning")]
            for call in _objects(delta.get("tool_calls")):
                said += [function.get("arguments") for function in _objects([call.get("function")])]
        texts += [text for text in said if isinstance(text, str)]
    return texts


_PLAIN = ("role", "content")


def _is_plain(parsed: Any) -> bool:
    """Whether an event tells words of the first choice, or nothing."""
    if not isinstance(parsed, dict):
        return True
    return all(
        choice.get("index") in (None, 0) and not any(delta[name] for name in delta if name not in _PLAIN)
        for choice in _objects(parsed.get("choices"))
        for delta in _objects([choice.get("delta")])
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    """Of a list whose members may be anything, those that are objects: what was passed on unread was not checked."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def usage_of_event(usage: Any) -> TokenUsage | None:
    """The reported usage of a stream's chunk, or None when it cannot be true."""
    if not isinstance(usage, dict):
        return None
    input_, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(input_) or not _is_count(output) or input_ == output == 0:
        return None
    prompt, answer = _object(usage.get("prompt_tokens_details")), _object(usage.get("completion_tokens_details"))
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    told = ToldOfCache(
        _count(prompt.get("cached_tokens")) or _count(read),
        _count(prompt.get("cache_write_tokens")) or _count(written),
        is_beside=read is not None or written is not None,
    )
    input_, cached, written = told.within(input_, output, usage.get("total_tokens"))
    figures = (written, prompt.get("audio_tokens"), answer.get("reasoning_tokens"), answer.get("audio_tokens"))
    details = TokenDetails(*map(_count, figures)) if any(figures) else None
    kinds = details_within(input_ - cached, output, details) if details else None
    return TokenUsage(input_, output, cached, REPORTED, kinds)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if _is_count(value) else 0


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS


def _event_without_usage(parsed: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps({**parsed, "usage": None}) + b"\n\n"
