"""A chat's stream as a message's: the chunks come in as bytes, Anthropic's events go out as bytes.

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any

import orjson

from routing.chat_events import ChatEvents
from routing.chats import Choice, Said, ToolCall
from routing.messages.telling import Block, call_block, end_of, error_of, text_block, usage_of

_INTERRUPTED = 502
_DELTAS = {"thinking": ("thinking_delta", "thinking"), "text": ("text_delta", "text")}


class MessageEvents(ChatEvents):
    """Of one message."""

    def __init__(self, head: dict[str, Any], request_id: str) -> None:
        super().__init__()
        self._head = head
        self._request_id = request_id
        self._blocks: list[Block] = []
        self._open: set[int] = set()
        self._kind = ""
        self._calls: dict[int, int] = {}
        self._stopped_by: str | None = None
        self._trace: Any = None

    def _start(self, said: list[bytes]) -> None:
        said.append(_event("message_start", message=self._head))

    def _note_trace(self, trace: Any) -> None:
        self._trace = trace

    def _hear(self, choice: Choice, said: list[bytes]) -> None:
        delta = choice.delta or Said()
        for kind, text in delta.texts:
            self._say(kind, text, said)
        for call in delta.tool_calls or []:
            self._call(call, said)
        self._stopped_by = choice.stopped_by or self._stopped_by

    def _say(self, kind: str, text: str, said: list[bytes]) -> None:
        if kind != self._kind:
            self._close(said)
            self._kind = kind
            self._begin(text_block(kind), said)
        index = len(self._blocks) - 1
        name, field = _DELTAS[self._blocks[index]["type"]]
        said.append(_event("content_block_delta", index=index, delta={"type": name, field: text}))

    def _call(self, call: ToolCall, said: list[bytes]) -> None:
        """Calls stay open till the end: vendors may go on with an earlier one."""
        nth = call.index or 0
        if nth not in self._calls:
            if self._kind:
                self._close(said)
            self._calls[nth] = len(self._blocks)
            self._begin(call_block(call, self._head["id"], nth), said)
        if piece := call.function.arguments:
            delta = {"type": "input_json_delta", "partial_json": piece}
            said.append(_event("content_block_delta", index=self._calls[nth], delta=delta))

    def _begin(self, block: Block, said: list[bytes]) -> None:
        index = len(self._blocks)
        self._blocks.append(block)
        self._open.add(index)
        said.append(_event("content_block_start", index=index, content_block=block))

    def _close(self, said: list[bytes]) -> None:
        """Words that follow a call begin anew, and the call is whole then."""
        self._kind = ""
        for index in sorted(self._open):
            said.append(_event("content_block_stop", index=index))
        self._open.clear()

    def _complete(self, said: list[bytes]) -> None:
        self._close(said)
        end = end_of(self._finish_reason, self._stopped_by, self._blocks)
        more = {} if self._trace is None else {"shareai": self._trace}
        said.append(_event("message_delta", delta=end, usage=usage_of(self._usage), **more))
        said.append(_event("message_stop"))

    def _fail(self, error: Any, said: list[bytes]) -> None:
        """The SDKs raise on it; without `message_stop` nobody takes it for the end."""
        told = error_of(_INTERRUPTED, error, self._request_id)
        told.pop("type")
        more = {} if self._trace is None else {"shareai": self._trace}
        said.append(_event("error", **told, **more))


def _event(type: str, **said: Any) -> bytes:
    return b"event: " + type.encode() + b"\ndata: " + orjson.dumps({"type": type, **said}) + b"\n\n"
