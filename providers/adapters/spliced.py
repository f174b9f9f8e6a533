"""A stream that goes on where another broke off, as if it were one: the same id, model and time in each event."""

from __future__ import annotations

from typing import Any

import orjson

from providers.adapters.base import StreamDecoder, TokenUsage

_SHARED = ("id", "created", "model")


def head_of(first: bytes) -> dict[str, Any]:
    """What the events of a stream have in common, from its first ones."""
    for event in first.split(b"\n\n"):
        value = _value(event)
        if value is not None:
            return {name: value[name] for name in _SHARED if name in value}
    return {}


def spliced(out: bytes, head: dict[str, Any]) -> bytes:
    """Whole events, put under `head`; the opening of the assistant's turn is not said twice."""
    return b"".join(_event(event, head) for event in out.split(b"\n\n") if event)


def _event(event: bytes, head: dict[str, Any]) -> bytes:
    value = _value(event)
    if value is None:
        return event + b"\n\n"
    choices = value.get("choices") or []
    for choice in choices:
        if isinstance(choice.get("delta"), dict):
            choice["delta"].pop("role", None)
    if choices and not any(_says_something(choice) for choice in choices) and not value.get("usage"):
        return b""
    return b"data: " + orjson.dumps({**value, **head}) + b"\n\n"


def _says_something(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    return bool(choice.get("finish_reason")) or (isinstance(delta, dict) and any(delta.values()))


def _value(event: bytes) -> dict[str, Any] | None:
    lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
    try:
        value = orjson.loads(b"\n".join(lines))
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


class SplicedDecoder(StreamDecoder):
    """Follows the stream of `inner`; what it gives is put under `head`."""

    def __init__(self, inner: StreamDecoder, head: dict[str, Any]) -> None:
        self._inner = inner
        self._head = head

    def feed(self, chunk: bytes) -> bytes:
        return spliced(self._inner.feed(chunk), self._head)

    def finish(self) -> bytes:
        return spliced(self._inner.finish(), self._head)

    def delivered_text(self) -> str:
        return self._inner.delivered_text()

    def plain_text(self) -> str | None:
        return self._inner.plain_text()

    @property
    def committed(self) -> bool:  # type: ignore[override]
        return self._inner.committed

    @property
    def finish_reason(self) -> str:  # type: ignore[override]
        return self._inner.finish_reason

    @property
    def done(self) -> bool:  # type: ignore[override]
        return self._inner.done

    @property
    def usage(self) -> TokenUsage | None:
        return self._inner.usage

    @usage.setter
    def usage(self, usage: TokenUsage | None) -> None:
        self._inner.usage = usage
