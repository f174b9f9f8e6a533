"""Kept prompts and answers as people read them: who said what, and JSON where that is all there is."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from metering.contents import Kept, json_or_text

LONGEST_EXCERPT = 160


@dataclass(frozen=True, slots=True)
class Turn:
    """`role` is "" where a text has no speaker."""

    role: str
    text: str


def prompt_turns(kept: Kept) -> list[Turn]:
    body = json_or_text(kept.transcript.prompt)
    if not isinstance(body, dict):
        return [Turn("", str(body))]
    messages = body.get("messages")
    if isinstance(messages, list):
        return [_turn(message) for message in messages]
    said = body.get("input", body.get("prompt"))
    return [Turn("user", said if isinstance(said, str) else _json(said))]


def answer_turns(kept: Kept) -> list[Turn]:
    answer = json_or_text(kept.transcript.answer)
    if not isinstance(answer, dict):
        return [Turn("", str(answer))]
    choices = answer.get("choices")
    turns = [_turn(choice.get("message") or choice) for choice in choices] if isinstance(choices, list) else []
    if isinstance(answer.get("error"), dict):
        turns.append(Turn("error", str(answer["error"].get("message", ""))))
    return turns or [Turn("", _json(answer))]


def excerpt(kept: Kept) -> str:
    """The beginning of what was asked last."""
    asked = [turn for turn in prompt_turns(kept) if turn.role in ("user", "")]
    text = " ".join(asked[-1].text.split()) if asked else ""
    return text if len(text) <= LONGEST_EXCERPT else text[:LONGEST_EXCERPT] + "…"


def _turn(message: object) -> Turn:
    if not isinstance(message, dict):
        return Turn("", _json(message))
    content = message.get("content", message.get("text"))
    texts = [content] if isinstance(content, str) and content else []
    if isinstance(content, list):
        texts = [_part(part) for part in content]
    texts += [_json(message[name]) for name in ("tool_calls", "refusal") if message.get(name)]
    return Turn(str(message.get("role") or "assistant"), "\n".join(texts))


def _part(part: object) -> str:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    return f"[{part['type']}]" if isinstance(part, dict) and isinstance(part.get("type"), str) else _json(part)


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
