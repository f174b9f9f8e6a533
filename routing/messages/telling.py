"""A chat's answer as a message: its head, its blocks, its end; and a refusal in Anthropic's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from routing.chats import Answer, Choice, Said, ToolCall, Usage

Block = dict[str, Any]

_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""By status. Source: https://docs.anthropic.com/en/api/errors"""


def head_of(model: Any, request_id: str) -> dict[str, Any]:
    """What is known of a message before anything is answered."""
    return {
        "id": "msg_" + request_id.removeprefix("req_"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_of(None),
    }


def message_of(head: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """A whole answer."""
    choice = answer.choice or Choice()
    blocks = list(_blocks_of(head["id"], choice))
    told = {**head, **end_of(choice.finish_reason, choice.stopped_by, blocks)}
    told |= {"content": blocks, "usage": usage_of(answer.usage), "model": answer.model or head["model"]}
    return told if answer.shareai is None else told | {"shareai": answer.shareai}


def end_of(finish_reason: str | None, stopped_by: str | None, blocks: list[Block]) -> dict[str, Any]:
    """Why it ended. Which stop sequence it was, few servers tell."""
    reason = _REASONS.get(finish_reason or "stop", "end_turn")
    if reason == "end_turn" and any(block["type"] == "tool_use" for block in blocks):
        reason = "tool_use"
    elif reason == "end_turn" and stopped_by:
        return {"stop_reason": "stop_sequence", "stop_sequence": stopped_by}
    return {"stop_reason": reason, "stop_sequence": None}


def usage_of(usage: Usage | None) -> dict[str, Any]:
    """Anthropic counts what was read from a cache beside the input, OpenAI as part of it."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    read = _whole((usage.prompt_tokens_details or {}).get("cached_tokens"))
    written = _whole((usage.prompt_tokens_details or {}).get("cache_write_tokens"))
    return {
        "input_tokens": max(usage.prompt_tokens - read - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.completion_tokens,
    }


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _blocks_of(message_id: str, choice: Choice) -> Iterator[Block]:
    message = choice.message or Said()
    for kind, text in message.texts:
        yield text_block(kind, text)
    for index, call in enumerate(message.tool_calls or []):
        yield call_block(call, message_id, index) | {"input": input_of(call.function.arguments or "")}


def text_block(kind: str, text: str = "") -> Block:
    """`kind` is reasoning, output_text or refusal."""
    if kind == "reasoning":
        return {"type": "thinking", "thinking": text, "signature": ""}
    return {"type": "text", "text": text}


def call_block(call: ToolCall, message_id: str, index: int) -> Block:
    call_id = call.id or f"toolu_{message_id.removeprefix('msg_')}_{index}"
    return {"type": "tool_use", "id": call_id, "name": call.function.name or "", "input": {}}


def input_of(arguments: str) -> dict[str, Any]:
    """What a model wrote that is no JSON object is told as Anthropic's documentation advises."""
    try:
        value = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}


def error_of(status: int, error: Any, request_id: str) -> dict[str, Any]:
    """With what `docs/errors.md` says of it beside Anthropic's own keys."""
    if not isinstance(error, dict):
        error = {"message": str(error)}
    kind = _ERRORS.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {**error, "type": kind}, "request_id": request_id}
