"""`POST /v1/chat/completions`, answered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from demo.answers.schemas import example
from demo.answers.shapes import (
    Event,
    Refused,
    Reply,
    Stamp,
    Voice,
    model_of,
    stops,
    usage,
    wants_stream_usage,
    whole_number,
)
from demo.answers.tokens import count_content, count_message, pieces
from demo.answers.tools import ToolCall, calls
from demo.answers.wording import cut, magic, plain_answer

_MOST_CHOICES = 128
_MOST_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer of several: words or calls, and why it ended."""

    index: int
    said: tuple[str, ...]
    calls: tuple[ToolCall, ...]
    finish: str

    @property
    def tokens(self) -> int:
        return len(self.said) + sum(len(pieces(call.name + call.arguments)) for call in self.calls)


def chat(body: Mapping[str, Any], voice: Voice, stamp: Stamp) -> Reply:
    """Answer a chat request.

    Raises:
        Refused: the request breaks a rule that OpenAI's API has too.
    """
    model = model_of(body)
    prompt = _last_words(_messages(body))
    choices = [_choice(body, voice, prompt, index) for index in range(_choice_count(body))]
    completion_tokens = sum(choice.tokens for choice in choices)
    counted = usage(_prompt_tokens(body), completion_tokens, magic(prompt).get("cached", 0))
    shared = {"id": f"chatcmpl-{stamp.id}", "created": stamp.created_s, "model": model}
    shared |= {"system_fingerprint": voice.fingerprint, "service_tier": "default"}
    whole = shared | {"object": "chat.completion", "choices": [_whole(choice) for choice in choices]}
    chunk = shared | {"object": "chat.completion.chunk"}
    events = tuple(_events(chunk, choices, counted if wants_stream_usage(body) else None))
    return Reply(whole | {"usage": counted}, events, completion_tokens)


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused("'messages' must be a list with at least one message.", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Refused("each message needs a role.", param=f"messages[{index}].role")
    return messages


def _last_words(messages: list[dict[str, Any]]) -> str:
    content = next((m.get("content") for m in reversed(messages) if m["role"] == "user"), "")
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _prompt_tokens(body: Mapping[str, Any]) -> int:
    tools = body.get("tools")
    tool_tokens = count_content(orjson.dumps(tools).decode()) if tools else 0
    return tool_tokens + sum(count_message(message.get("content")) for message in body["messages"])


def _choice_count(body: Mapping[str, Any]) -> int:
    return whole_number(body, "n", least=1, most=_MOST_CHOICES) or 1


def _most_tokens(body: Mapping[str, Any]) -> int | None:
    newer = whole_number(body, "max_completion_tokens", least=1, most=_MOST_TOKENS)
    return newer or whole_number(body, "max_tokens", least=1, most=_MOST_TOKENS)


def _choice(body: Mapping[str, Any], voice: Voice, prompt: str, index: int) -> Choice:
    if "content_filter" in magic(prompt):
        return Choice(index, (), (), "content_filter")
    called = calls(body, prompt)
    if called:
        return Choice(index, (), called, "tool_calls")
    structured = _structured(body, voice)
    said = pieces(structured) if structured else plain_answer(voice, prompt, index)
    said = said[len(pieces(_begun(body))) :]
    kept, finish = cut(said, stops(body), _most_tokens(body))
    return Choice(index, kept, (), finish)


def _begun(body: Mapping[str, Any]) -> str:
    """What the assistant is made to have said already; the answer goes on after it."""
    last = body["messages"][-1]
    content = last.get("content") if last["role"] == "assistant" else None
    return content if isinstance(content, str) else ""


def _structured(body: Mapping[str, Any], voice: Voice) -> str | None:
    wanted = body.get("response_format") or {"type": "text"}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return orjson.dumps({"simulated": True, "answer": f"This is a simulated answer from {voice.name}."}).decode()
    if kind == "json_schema" and isinstance(wanted.get("json_schema"), dict):
        return orjson.dumps(example(wanted["json_schema"].get("schema") or {})).decode()
    raise Refused("'response_format' is not one of text, json_object, json_schema.", param="response_format")


def _whole(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(choice.said), "refusal": None}
    if choice.calls:
        message |= {"content": None, "tool_calls": [_whole_call(choice, n) for n in range(len(choice.calls))]}
    return {"index": choice.index, "message": message, "logprobs": None, "finish_reason": choice.finish}


def _whole_call(choice: Choice, nth: int) -> dict[str, Any]:
    call = choice.calls[nth]
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{choice.index}_{nth}", "type": "function", "function": function}


def _events(chunk: dict[str, Any], choices: list[Choice], counted: dict[str, Any] | None) -> Iterator[Event]:
    """OpenAI's order: role, content, reason for each choice, and usage in a last chunk without choices."""
    rest = {} if counted is None else {"usage": None}
    for choice in choices:
        for delta, tokens in _deltas(choice):
            yield Event(chunk | {"choices": [_part(choice.index, delta, None)]} | rest, tokens)
        yield Event(chunk | {"choices": [_part(choice.index, {}, choice.finish)]} | rest)
    if counted is not None:
        yield Event(chunk | {"choices": [], "usage": counted})


def _part(index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _deltas(choice: Choice) -> Iterator[tuple[dict[str, Any], int]]:
    if choice.calls:
        yield {"role": "assistant", "content": None}, 0
    else:
        yield {"role": "assistant", "content": "", "refusal": None}, 0
    for piece in choice.said:
        yield {"content": piece}, 1
    for nth in range(len(choice.calls)):
        yield from _call_deltas(choice, nth)


def _call_deltas(choice: Choice, nth: int) -> Iterator[tuple[dict[str, Any], int]]:
    call = _whole_call(choice, nth)
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    opening = call | {"index": nth, "function": {"name": name, "arguments": ""}}
    parts = pieces(arguments)
    yield {"tool_calls": [opening]}, len(pieces(name + arguments)) - len(parts)
    for piece in parts:
        yield {"tool_calls": [{"index": nth, "function": {"arguments": piece}}]}, 1
