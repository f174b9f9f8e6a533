"""A chat's stream as a response's: the chunks come in as bytes, the events go out as bytes."""

from __future__ import annotations

from typing import Any

import orjson

from routing.chat_events import ChatEvents
from routing.chats import Choice, Said, ToolCall
from routing.responses.telling import Item, call_item, ended, fill, item_id, part_of, text_item


class _Text:
    """An item of one text while it is being said."""

    def __init__(self, kind: str, item: Item, output_index: int) -> None:
        self.kind = kind
        self.item = item
        self.output_index = output_index
        self.said: list[str] = []
        self.logprobs: list[Any] = []

    @property
    def place(self) -> dict[str, Any]:
        index = "summary_index" if self.kind == "reasoning" else "content_index"
        return {"item_id": self.item["id"], "output_index": self.output_index, index: 0}

    @property
    def names(self) -> tuple[str, str]:
        """Of the events of its part, and of its text."""
        if self.kind == "reasoning":
            return "response.reasoning_summary_part", "response.reasoning_summary_text"
        return "response.content_part", f"response.{self.kind}"


class _Arguments:
    def __init__(self, item: Item, output_index: int) -> None:
        self.item = item
        self.output_index = output_index
        self.arguments: list[str] = []

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.item["id"], "output_index": self.output_index}


class ResponseEvents(ChatEvents):
    """Of one response."""

    def __init__(self, head: dict[str, Any]) -> None:
        super().__init__()
        self._head = head
        self._number = 0
        self._output: list[Item] = []
        self._text: _Text | None = None
        self._calls: dict[int, _Arguments] = {}

    def _hear(self, choice: Choice, said: list[bytes]) -> None:
        delta = choice.delta or Said()
        for kind, text in delta.texts:
            self._say(kind, text, choice.figures, said)
        for call in delta.tool_calls or []:
            self._call(call, said)

    # Beginning and end

    def _start(self, said: list[bytes]) -> None:
        for name in ("response.created", "response.in_progress"):
            said.append(self._event(name, response=self._head))

    def _note_trace(self, trace: Any) -> None:
        self._head["shareai"] = trace

    def _complete(self, said: list[bytes]) -> None:
        self._close_items(said)
        told = ended(self._head, self._output, self._finish_reason, self._usage)
        said.append(self._event(f"response.{told['status']}", response=told))

    def _fail(self, error: Any, said: list[bytes]) -> None:
        """Told twice: as the end of the response, and as the error on which the SDKs raise."""
        if not isinstance(error, dict):
            error = {"message": str(error)}
        told = {"code": error.get("code") or "server_error", "message": error.get("message") or ""}
        failed = {**self._head, "status": "failed", "error": told, "output": self._output}
        said.append(self._event("response.failed", response=failed))
        said.append(self._event("error", **told, param=error.get("param"), error=error))

    # Items

    def _say(self, kind: str, text: str, logprobs: list[Any], said: list[bytes]) -> None:
        now = self._text
        if now is None or now.kind != kind:
            self._close_text(said)
            now = self._text = self._open_text(kind, said)
        now.said.append(text)
        now.logprobs += logprobs
        rest = {"logprobs": logprobs} if kind == "output_text" else {}
        said.append(self._event(now.names[1] + ".delta", **now.place, delta=text, **rest))

    def _open_text(self, kind: str, said: list[bytes]) -> _Text:
        item = text_item(kind, self._next_id)
        text = _Text(kind, item, len(self._output))
        self._output.append(item)
        bare = {**item, ("summary" if kind == "reasoning" else "content"): []}
        said.append(self._event("response.output_item.added", output_index=text.output_index, item=bare))
        said.append(self._event(text.names[0] + ".added", **text.place, part=part_of(item)))
        return text

    def _close_text(self, said: list[bytes]) -> None:
        text, self._text = self._text, None
        if text is None:
            return
        fill(text.item, "".join(text.said), text.logprobs)
        part = part_of(text.item)
        whole = {name: part[name] for name in ("text", "refusal", "logprobs") if name in part}
        said.append(self._event(text.names[1] + ".done", **text.place, **whole))
        said.append(self._event(text.names[0] + ".done", **text.place, part=part))
        said.append(self._event("response.output_item.done", output_index=text.output_index, item=text.item))

    def _call(self, delta: ToolCall, said: list[bytes]) -> None:
        """Calls stay open till the end: vendors may go on with an earlier one."""
        self._close_text(said)
        nth = delta.index or 0
        call = self._calls.get(nth)
        if call is None:
            call = self._calls[nth] = _Arguments(call_item(delta, self._next_id), len(self._output))
            self._output.append(call.item)
            added = dict(call.item)
            said.append(self._event("response.output_item.added", output_index=call.output_index, item=added))
        if piece := delta.function.arguments:
            call.arguments.append(piece)
            said.append(self._event("response.function_call_arguments.delta", **call.place, delta=piece))

    def _close_items(self, said: list[bytes]) -> None:
        self._close_text(said)
        for call in self._calls.values():
            whole = "".join(call.arguments)
            call.item |= {"arguments": whole, "status": "completed"}
            name = "response.function_call_arguments.done"
            said.append(self._event(name, **call.place, name=call.item["name"], arguments=whole))
            said.append(self._event("response.output_item.done", output_index=call.output_index, item=call.item))

    @property
    def _next_id(self) -> str:
        return item_id(self._head["id"], len(self._output))

    def _event(self, type: str, **said: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        value = {"type": type, "sequence_number": number, **said}
        return b"event: " + type.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"
