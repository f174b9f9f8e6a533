"""What the gateway counts by itself, where an upstream's word is missing or not to be taken. Blocks; for a thread."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from metering.tokens import count_tokens
from nodes.recount import Recount
from providers.adapters.base import COUNTED, TokenUsage
from providers.endpoints import CHAT, RERANK
from providers.schema import Call
from providers.targets import Target
from routing.upper_bounds import images_in


def counted_usage(call: Call, text: str, unworded_tokens: int = 0) -> TokenUsage:
    """What the gateway itself counts, for an upstream that reported nothing believable."""
    return TokenUsage(prompt_tokens(call), count_tokens(text) + unworded_tokens, 0, COUNTED)


def recount_of(call: Call, target: Target, said: TokenUsage, text: Callable[[], str]) -> Recount:
    """Blocks for as long as counting takes."""
    words, images = text(), images_in(call)
    counted = TokenUsage(whole_prompt_tokens(call), count_tokens(words), 0, COUNTED)
    text_bytes = len(words.encode("utf-8", "replace"))
    return Recount(call.request_id, target.id, said, counted, text_bytes, call.prompt_bytes, _turns_of(call), images)


def whole_prompt_tokens(call: Call) -> int:
    """With tools and calls of them. Blocks for as long as counting takes."""
    return prompt_tokens(call) + count_tokens(_beside_text(call))


def _turns_of(call: Call) -> int:
    return len(call.body["messages"]) if call.endpoint == CHAT else 1


def _beside_text(call: Call) -> str:
    """What a chat template writes into the prompt beside the words of its messages: tools, and calls of them."""
    body = call.body
    if call.endpoint != CHAT:
        return ""
    told = [body.get(name) for name in ("tools", "functions", "response_format")]
    told += [message.get(name) for message in body["messages"] for name in ("tool_calls", "function_call")]
    said = [one for one in told if one]
    return orjson.dumps(said).decode() if said else ""


def prompt_tokens(call: Call) -> int:
    """Blocks for as long as counting takes."""
    if call.endpoint == RERANK:
        documents = call.body["documents"]
        return count_tokens(call.body["query"]) * len(documents) + count_tokens(_flat(documents))
    return count_tokens(_prompt_text(call))


def _prompt_text(call: Call) -> str:
    body = call.body
    if call.endpoint != CHAT:
        return _flat(body.get("prompt", body.get("input", "")))
    return "\n".join(_flat(message.get("content")) for message in body["messages"])


def _flat(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(_flat(item) for item in value)
    if isinstance(value, dict):
        return _flat(value.get("text", ""))
    return "" if value is None else "0"
