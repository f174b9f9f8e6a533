"""A chat's answer as a response: its head, its items, its usage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from routing.chats import Answer, Choice, Said, ToolCall, Usage

Item = dict[str, Any]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""What OpenAI calls the reasons for which an answer ends early."""


def head_of(wish: Mapping[str, Any], request_id: str, created_s: int) -> dict[str, Any]:
    """What is known of a response before anything is answered."""
    return {
        "id": "resp_" + request_id.removeprefix("req_"),
        "object": "response",
        "created_at": created_s,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": wish.get("instructions"),
        "max_output_tokens": wish.get("max_output_tokens"),
        "metadata": wish.get("metadata") or {},
        "model": wish.get("model"),
        "output": [],
        "parallel_tool_calls": wish.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None, **(wish.get("reasoning") or {})},
        "store": False,
        "temperature": wish.get("temperature"),
        "text": {"format": {"type": "text"}, **(wish.get("text") or {})},
        "tool_choice": wish.get("tool_choice") or "auto",
        "tools": wish.get("tools") or [],
        "top_p": wish.get("top_p"),
        "truncation": "disabled",
        "usage": None,
        "user": wish.get("user"),
    }


def response_of(head: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """A whole answer."""
    choice = answer.choice or Choice()
    told = ended(head, list(_items_of(head["id"], choice)), choice.finish_reason, answer.usage)
    told["model"] = answer.model or head["model"]
    if answer.shareai is not None:
        told["shareai"] = answer.shareai
    return told


def ended(
    head: Mapping[str, Any], output: list[Item], finish_reason: str | None, usage: Usage | None
) -> dict[str, Any]:
    reason = _INCOMPLETE.get(finish_reason or "")
    return {
        **head,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": None if usage is None else _usage_of(usage),
    }


def _usage_of(usage: Usage) -> dict[str, Any]:
    asked, answered = usage.prompt_tokens_details or {}, usage.completion_tokens_details or {}
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": asked.get("cached_tokens") or 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": answered.get("reasoning_tokens") or 0},
        "total_tokens": usage.total_tokens,
    }


def _items_of(response_id: str, choice: Choice) -> Iterator[Item]:
    message = choice.message or Said()
    made = 0
    for kind, text in message.texts:
        item = text_item(kind, item_id(response_id, made))
        fill(item, text, choice.figures)
        yield item
        made += 1
    for call in message.tool_calls or []:
        item = call_item(call, item_id(response_id, made))
        yield item | {"arguments": call.function.arguments or "", "status": "completed"}
        made += 1


def item_id(response_id: str, index: int) -> str:
    return f"item_{response_id.removeprefix('resp_')}_{index}"


def text_item(kind: str, id: str) -> Item:
    """An item of one text; `kind` is reasoning, output_text or refusal."""
    if kind == "reasoning":
        return {
            "id": id,
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": ""}],
            "status": "in_progress",
        }
    part: dict[str, Any] = {"type": "refusal", "refusal": ""}
    if kind == "output_text":
        part = {"type": kind, "text": "", "annotations": [], "logprobs": []}
    return {"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": [part]}


def part_of(item: Item) -> dict[str, Any]:
    part: dict[str, Any] = item["summary" if item["type"] == "reasoning" else "content"][0]
    return part


def fill(item: Item, text: str, logprobs: list[Any]) -> None:
    part = part_of(item)
    part["refusal" if part["type"] == "refusal" else "text"] = text
    if part["type"] == "output_text":
        part["logprobs"] = logprobs
    item["status"] = "completed"


def call_item(call: ToolCall, id: str) -> Item:
    return {
        "id": id,
        "type": "function_call",
        "status": "in_progress",
        "call_id": call.id or id,
        "name": call.function.name or "",
        "arguments": "",
    }
