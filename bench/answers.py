"""The bytes that the mock upstream answers, baked once, and what tells a whole answer from a broken one.

Upstream and load generator share this file, so neither can drift from the other.
"""

from __future__ import annotations

import json
import re

MODEL = "bench"
CHUNKS = 100
CHUNK_INTERVAL_S = 0.010
# Each word once: a gateway may take a stream that repeats itself for a model gone mad, and end it.
WORDS = [f" w{index:02d}" for index in range(CHUNKS)]
TEXT = "".join(WORDS)
DONE = b"data: [DONE]\n\n"

# Words that select an answer, in the model name or anywhere else in the body. A gateway may rename the
# model on the way, but it passes the prompt through, so the load generator puts the word there as well.
PACED = b"bench-paced"
BROKEN = b"bench-broken"  # answers 500
TRUNCATED = b"bench-truncated"  # closes a stream half-way; cuts a unary body short

_USAGE = {"prompt_tokens": 24, "completion_tokens": CHUNKS, "total_tokens": 24 + CHUNKS}
_CREATED = 1_700_000_000


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def http(status: str, body: bytes, content_type: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def completion() -> bytes:
    message = {"role": "assistant", "content": TEXT}
    return _json(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": _CREATED,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _USAGE,
        }
    )


def _chunk(choices: list[dict[str, object]], **usage: object) -> bytes:
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": _CREATED, "model": MODEL}
    return b"data: " + _json({**head, "choices": choices, **usage}) + b"\n\n"


def _content_chunk(index: int, **usage: object) -> bytes:
    role = {"role": "assistant"} if index == 0 else {}
    delta = {**role, "content": WORDS[index]}
    return _chunk([{"index": 0, "delta": delta, "finish_reason": None}], **usage)


def events(include_usage: bool) -> list[bytes]:
    """The SSE events of one stream: 100 of content, the finish, the usage if asked for, and [DONE]."""
    null: dict[str, object] = {"usage": None} if include_usage else {}
    finish = _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}], **null)
    last = [_chunk([], usage=_USAGE)] if include_usage else []
    return [*(_content_chunk(index, **null) for index in range(CHUNKS)), finish, *last, DONE]


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def models() -> bytes:
    entry = {"id": MODEL, "object": "model", "created": _CREATED, "owned_by": "bench"}
    return _json({"object": "list", "data": [entry]})


def unary_fault(status: int, body: bytes) -> str | None:
    """What is wrong with a unary answer, or None if it is whole."""
    if status != 200:
        return f"status {status}"
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return "not a completion"
    return None if content == TEXT else "wrong content"


_CONTENT = re.compile(rb'"content":\s?"( w\d\d)"')
_ALL = [word.encode() for word in WORDS]


def stream_fault(status: int, body: bytes) -> str | None:
    """What is wrong with a streamed answer, or None if it is whole: all chunks, and [DONE] at the end."""
    if status != 200:
        return f"status {status}"
    if not body.rstrip().endswith(b"data: [DONE]"):
        return "no [DONE] at the end"
    found = _CONTENT.findall(body)
    if len(found) != CHUNKS:
        return f"{len(found)} chunks instead of {CHUNKS}"
    return None if found == _ALL else "chunks out of order"
