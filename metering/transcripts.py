"""What was asked and answered, as it is kept: texts of a bounded size, a stream put together to one answer. Pure."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import orjson

from common.errors import ShareAIError
from common.sse import SSEDecoder

MOST_SIDE_BYTES = 128 * 1024
"""Of the prompt, and of the answer. What is longer loses its middle: both ends tell most."""

CUT = "\n… {:,} bytes are not kept …\n"
_MOST_UNPACKED_BYTES = 16 * MOST_SIDE_BYTES
_DONE = b"[DONE]"


class Transcript(msgspec.Struct, frozen=True):
    """`prompt` is the JSON of the request's body, `answer` that of the answer; a cut one is no JSON any more."""

    prompt: str
    answer: str
    status: int = 200
    streamed: bool = False
    is_cut: bool = False

    def packed(self) -> bytes:
        return zlib.compress(_encode(self), 1)


def unpacked(data: bytes) -> Transcript:
    return _decode(zlib.decompressobj().decompress(data, _MOST_UNPACKED_BYTES))


def transcript_of(body: dict[str, Any], answer: bytes, *, status: int, streamed: bool, is_whole: bool) -> Transcript:
    """Args: is_whole: all of a stream's events are in `answer`."""
    prompt, asked_cut = bounded(orjson.dumps(body))
    said, said_cut = bounded(assembled(answer) if streamed else answer)
    return Transcript(prompt, said, status, streamed, asked_cut or said_cut or not is_whole)


def bounded(text: bytes, most_bytes: int = MOST_SIDE_BYTES) -> tuple[str, bool]:
    """The text, and whether it had to lose its middle."""
    if len(text) <= most_bytes:
        return text.decode(errors="replace"), False
    half = most_bytes // 2
    first, last = text[:half].decode(errors="ignore"), text[-half:].decode(errors="ignore")
    return first + CUT.format(len(text) - 2 * half) + last, True


def assembled(events: bytes) -> bytes:
    """The answer that the events of a stream add up to, in the form of a whole one. What is no event is left out."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    try:
        found = SSEDecoder(len(events) + 1).feed(events + b"\n\n")
    except ShareAIError:
        found = []
    for event in found:
        if event.data == _DONE:
            continue
        try:
            said = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            continue
        if isinstance(said, dict):
            _take(said, answer, choices)
    return orjson.dumps(answer | {"choices": [choices[index] for index in sorted(choices)]})


def _take(said: dict[str, Any], answer: dict[str, Any], choices: dict[int, dict[str, Any]]) -> None:
    for name in ("id", "model", "usage", "error"):
        if said.get(name) is not None:
            answer[name] = said[name]
    for part in said.get("choices") or ():
        if isinstance(part, dict):
            index = _index_of(part)
            _add(choices.setdefault(index, {"index": index}), part)


def _add(choice: dict[str, Any], part: dict[str, Any]) -> None:
    if isinstance(part.get("finish_reason"), str):
        choice["finish_reason"] = part["finish_reason"]
    if isinstance(part.get("text"), str):
        choice["text"] = choice.get("text", "") + part["text"]
    delta = part.get("delta")
    if not isinstance(delta, dict):
        return
    message = choice.setdefault("message", {"role": "assistant"})
    for name, value in delta.items():
        if name == "tool_calls" and isinstance(value, list):
            _add_tools(message.setdefault("tool_calls", []), value)
        elif isinstance(value, str) and name != "role":
            message[name] = message.get(name, "") + value


def _add_tools(calls: list[dict[str, Any]], parts: list[Any]) -> None:
    by_index = {call["index"]: call for call in calls}
    for part in parts:
        if not isinstance(part, dict):
            continue
        index = _index_of(part)
        if index not in by_index:
            by_index[index] = {"index": index, "type": "function", "function": {"name": "", "arguments": ""}}
            calls.append(by_index[index])
        call, said = by_index[index], part.get("function")
        if isinstance(part.get("id"), str):
            call["id"] = part["id"]
        for name in ("name", "arguments"):
            if isinstance(said, dict) and isinstance(said.get(name), str):
                call["function"][name] += said[name]


def _index_of(part: dict[str, Any]) -> int:
    index = part.get("index")
    return index if isinstance(index, int) else 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Transcript).decode
