"""A chat's stream as a response's: the chunks come in as bytes, the events go out as bytes."""

from __future__ import annotations

from typing import Any

import orjson

from common.errors import BadUpstreamResponse
from common.sse import SSEDecoder
from routing.responses.chats import Choice, Said, ToolCall, Usage, read
from routing.responses.telling import Item, call_item, ended, fill, item_id, part_of, text_item

_DONE = b"[DONE]"


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


class ResponseEvents:
    """`feed` turns what a chat's stream says into what a response's stream says."""

    def __init__(self, head: dict[str, Any]) -> None:
        self._head = head
        self._decoder = SSEDecoder()
        self._number = 0
        self._output: list[Item] = []
        self._text: _Text | None = None
        self._calls: dict[int, _Arguments] = {}
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._has_begun = False
        self._is_over = False

    def feed(self, chunk: bytes) -> bytes:
        said: list[bytes] = []
        for _, data in self._decoder.feed_raw(chunk):
            if data is not None and not self._is_over:
                self._take(data, said)
        return b"".join(said)

    def _take(self, data: bytes, said: list[bytes]) -> None:
        if not self._has_begun:
            self._begin(said)
        if data.strip() == _DONE:
            self._complete(said)
            return
        try:
            chunk = read(data)
        except BadUpstreamResponse as error:
            self._fail(error.body()["error"], said)
            return
        if chunk.shareai is not None:
            self._head["shareai"] = chunk.shareai
        if chunk.error:
            self._fail(chunk.error, said)
            return
        self._usage = chunk.usage or self._usage
        if chunk.choice is not None:
            self._hear(chunk.choice, said)

    def _hear(self, choice: Choice, said: list[bytes]) -> None:
        delta = choice.delta or Said()
        for kind, text in delta.texts:
            self._say(kind, text, choice.figures, said)
        for call in delta.tool_calls or []:
            self._call(call, said)
        self._finish_reason = choice.finish_reason or self._finish_reason

    # Beginning and end

    def _begin(self, said: list[bytes]) -> None:
        self._has_begun = True
        for name in ("response.created", "response.in_progress"):
            said.append(self._event(name, response=self._head))

    def _complete(self, said: list[bytes]) -> None:
        self._close_items(said)
        told = ended(self._head, self._output, self._finish_reason, self._usage)
        said.append(self._event(f"response.{told['status']}", response=told))
        self._is_over = True

    def _fail(self, error: Any, said: list[bytes]) -> None:
        """Told twice: as the end of the response, and as the error on which the SDKs raise."""
        self._is_over = True
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
