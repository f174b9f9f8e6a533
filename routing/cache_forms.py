"""A stream out of a whole answer, and a whole answer out of a stream, in OpenAI's forms of both. Pure.

Sources: https://platform.openai.com/docs/api-reference/chat/object and /chat/streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from providers.adapters.base import TokenUsage
from providers.schema import CHAT
from routing.rendering import usage_object

_HEAD = ("id", "created", "model", "system_fingerprint", "service_tier")


def events_of(endpoint: str, body: bytes) -> bytes:
    """The events that say what a whole answer says, without usage and terminator."""
    answer = orjson.loads(body)
    head = {name: answer[name] for name in _HEAD if name in answer}
    if endpoint == CHAT:
        head["object"] = "chat.completion.chunk"
        chunks = [chunk for choice in answer["choices"] for chunk in _chat_chunks(choice)]
    else:
        head["object"] = "text_completion"
        chunks = answer["choices"]
    return b"".join(b"data: " + orjson.dumps({**head, "choices": [chunk]}) + b"\n\n" for chunk in chunks)


def whole_of(endpoint: str, events: bytes, usage: TokenUsage) -> bytes:
    """The whole answer that a stream's events amount to."""
    head: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in _parsed(events):
        head = {**{name: event[name] for name in _HEAD if event.get(name) is not None}, **head}
        for choice in event.get("choices") or ():
            index = choice.get("index") or 0
            (_add_chat if endpoint == CHAT else _add_text)(choices.setdefault(index, {"index": index}), choice)
    kind = "chat.completion" if endpoint == CHAT else "text_completion"
    said = [choices[index] for index in sorted(choices)]
    return orjson.dumps({**head, "object": kind, "choices": said, "usage": usage_object(usage)})


def _chat_chunks(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    index, message = choice.get("index", 0), choice.get("message") or {}
    delta = {name: value for name, value in message.items() if value is not None}
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": number, **called} for number, called in enumerate(calls)]
    yield {"index": index, "delta": delta, "logprobs": choice.get("logprobs"), "finish_reason": None}
    yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.get("finish_reason")}


def _parsed(events: bytes) -> Iterator[dict[str, Any]]:
    for event in events.split(b"\n\n"):
        lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines:
            yield orjson.loads(b"\n".join(lines))


def _add_chat(whole: dict[str, Any], choice: dict[str, Any]) -> None:
    message = whole.setdefault("message", {"role": "assistant", "content": None})
    for name, value in (choice.get("delta") or {}).items():
        if name == "tool_calls":
            _add_calls(message, value or [])
        elif name == "function_call":
            _add_function(message.setdefault("function_call", {}), value or {})
        elif name != "role" and isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        elif value is not None:
            message[name] = value
    _add_end(whole, choice)


def _add_text(whole: dict[str, Any], choice: dict[str, Any]) -> None:
    whole["text"] = whole.get("text", "") + (choice.get("text") or "")
    _add_end(whole, choice)


def _add_end(whole: dict[str, Any], choice: dict[str, Any]) -> None:
    kept = whole.setdefault("logprobs", None)
    if more := choice.get("logprobs"):
        kept = kept or {}
        whole["logprobs"] = {
            name: (kept.get(name) or []) + value if isinstance(value, list) else value for name, value in more.items()
        }
    whole["finish_reason"] = choice.get("finish_reason") or whole.get("finish_reason")


def _add_calls(message: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    """Calls of tools come in pieces, each with the place of the call that it belongs to."""
    whole = message.setdefault("tool_calls", [])
    for piece in calls:
        place = piece.get("index", len(whole))
        while len(whole) <= place:
            whole.append({"id": None, "type": "function", "function": {}})
        called = whole[place]
        called.update({name: value for name, value in piece.items() if value and name not in ("index", "function")})
        _add_function(called["function"], piece.get("function") or {})


def _add_function(whole: dict[str, Any], piece: dict[str, Any]) -> None:
    if name := piece.get("name"):
        whole["name"] = name
    whole["arguments"] = whole.get("arguments", "") + (piece.get("arguments") or "")
