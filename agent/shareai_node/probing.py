"""What a model can do, found out by asking it: what servers and model cards claim is often not so.

Each capability is True (seen), False (asked, and it cannot) or None (not known: nobody could ask yet). A fault of
the server or a slow load leaves None, never False. Questions are few and short, since a server may have to load
the model for them; the answers are kept (`shareai_node.offers`) until the model's fingerprint changes.
"""

from __future__ import annotations

import base64
import json
import struct
import time
import zlib
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from shareai_node.config import Server
from shareai_node.local import LOOK_WITHIN_S, NotJson, bearer, fetch

LOADS_WITHIN_S = 120.0
_ANSWERS_WITHIN_S = 60.0
_MEASURED_TOKENS = 32
_REFUSED = (400, 404, 405, 415, 422, 500, 501)
"""Servers say in all these ways that they cannot do it; 429, 502, 503 and the like say nothing about the model."""

_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_WORD = "marigold"
_SCHEMA = {
    "type": "object",
    "properties": {"flower": {"type": "string", "enum": [_WORD]}},
    "required": ["flower"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Capabilities:
    tools: bool | None = None
    json_schema: bool | None = None
    vision: bool | None = None
    embeddings: bool | None = None
    chat: bool | None = None
    completions: bool | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    tokens_per_s: float | None = None
    first_token_ms: float | None = None


class Undecided(Exception):
    """The server could not say: it was away, busy or slow."""


class Prober:
    """Asks one model of one server."""

    def __init__(self, http: httpx.AsyncClient, server: Server, model: str) -> None:
        self._http = http
        self._server = server
        self._model = model

    async def capabilities(self) -> Capabilities:
        chat = await self._decided(self._chats())
        rest = chat is not False
        return Capabilities(
            chat=chat,
            completions=await self._decided(self._completes()) if rest else False,
            embeddings=await self._decided(self._embeds()),
            tools=await self._decided(self._calls_tools()) if rest else False,
            json_schema=await self._decided(self._keeps_schema()) if rest else False,
            vision=await self._decided(self._sees()) if rest else False,
        )

    async def measure(self) -> Measured:
        """Of a streamed answer. The model is loaded by then, so this is what a caller will meet."""
        started_s = time.perf_counter()
        arrivals_s: list[float] = []
        tokens = 0
        body = self._about("Count from one to twenty in words.", _MEASURED_TOKENS, stream=True)
        body["stream_options"] = {"include_usage": True}
        try:
            async with self._http.stream(
                "POST",
                self._server.base_url + "/v1/chat/completions",
                json=body,
                headers=bearer(self._server),
                timeout=httpx.Timeout(_ANSWERS_WITHIN_S, connect=LOOK_WITHIN_S),
            ) as answer:
                async for line in answer.aiter_lines():
                    chunk = _event(line)
                    tokens = _tokens(chunk) or tokens
                    if _says_something(chunk):
                        arrivals_s.append(time.perf_counter())
        except httpx.HTTPError:
            return Measured()
        return _speed(started_s, arrivals_s, tokens)

    async def _decided(self, question: Awaitable[object]) -> bool | None:
        try:
            return bool(await question)
        except Undecided:
            return None

    async def _chats(self) -> bool:
        return "content" in _message(await self._ask_chat("Say hello.", 4, timeout_s=LOADS_WITHIN_S))

    async def _completes(self) -> bool:
        said = await self._ask("/v1/completions", {"model": self._model, "prompt": "One, two,", "max_tokens": 2})
        return isinstance(_first(said, "choices").get("text"), str)

    async def _embeds(self) -> bool:
        said = await self._ask("/v1/embeddings", {"model": self._model, "input": "hello"}, timeout_s=LOADS_WITHIN_S)
        vector = _first(said, "data").get("embedding")
        return isinstance(vector, list) and bool(vector) and all(isinstance(one, (int, float)) for one in vector)

    async def _calls_tools(self) -> bool:
        said = await self._ask_chat(
            "What is the weather in Paris? Use the tool.", 256, tools=[_TOOL], tool_choice="auto"
        )
        calls = _message(said).get("tool_calls")
        call = calls[0] if isinstance(calls, list) and calls and isinstance(calls[0], Mapping) else {}
        function = call.get("function")
        if not isinstance(function, Mapping) or function.get("name") != "get_weather":
            return False
        arguments = _json(function.get("arguments"))
        return isinstance(arguments, Mapping) and isinstance(arguments.get("city"), str)

    async def _keeps_schema(self) -> bool:
        """The one word that the schema allows is asked for nowhere else: only a server that forces it answers so."""
        schema = {"name": "answer", "strict": True, "schema": _SCHEMA}
        said = await self._ask_chat(
            "Which flower do you like?", 64, response_format={"type": "json_schema", "json_schema": schema}
        )
        return _json(_message(said).get("content")) == {"flower": _WORD}

    async def _sees(self) -> bool:
        """Two pictures, one colour each: a model that sees neither does not guess both."""
        for colour, rgb in (("red", (220, 0, 0)), ("blue", (0, 0, 220))):
            question = [
                {"type": "text", "text": "Which colour is this picture? Answer with one word."},
                {"type": "image_url", "image_url": {"url": _picture(rgb)}},
            ]
            said = await self._ask_chat(question, 24)
            if colour not in str(_message(said).get("content")).lower():
                return False
        return True

    async def _ask_chat(
        self, content: object, tokens: int, *, timeout_s: float = _ANSWERS_WITHIN_S, **more: object
    ) -> Any:
        return await self._ask("/v1/chat/completions", {**self._about(content, tokens), **more}, timeout_s=timeout_s)

    def _about(self, content: object, tokens: int, *, stream: bool = False) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": stream,
        }

    async def _ask(self, path: str, body: object, *, timeout_s: float = _ANSWERS_WITHIN_S) -> Any:
        """The answer's JSON; None if the server says that it cannot. Raises: Undecided."""
        try:
            status, said = await fetch(self._http, self._server, path, body=body, timeout_s=timeout_s)
        except NotJson:
            return None
        except httpx.HTTPError as error:
            raise Undecided from error
        if status == 200:
            return said
        if status in _REFUSED:
            return None
        raise Undecided


def _speed(started_s: float, arrivals_s: list[float], tokens: int) -> Measured:
    if not arrivals_s:
        return Measured()
    first_ms = round((arrivals_s[0] - started_s) * 1000, 1)
    streamed_s = arrivals_s[-1] - arrivals_s[0]
    counted = (tokens or len(arrivals_s)) - 1
    per_s = round(counted / streamed_s, 1) if counted > 0 and streamed_s > 0 else None
    return Measured(per_s, first_ms)


def _event(line: str) -> Any:
    return _json(line.removeprefix("data:").strip()) if line.startswith("data:") else None


def _says_something(chunk: Any) -> bool:
    delta = _first(chunk, "choices").get("delta")
    spoken = ("content", "reasoning_content", "reasoning", "tool_calls")
    return isinstance(delta, Mapping) and any(delta.get(name) for name in spoken)


def _tokens(chunk: Any) -> int:
    usage = chunk.get("usage") if isinstance(chunk, Mapping) else None
    count = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
    return count if isinstance(count, int) else 0


def _message(said: Any) -> Mapping[str, Any]:
    message = _first(said, "choices").get("message")
    return message if isinstance(message, Mapping) else {}


def _first(said: Any, name: str) -> Mapping[str, Any]:
    entries = said.get(name) if isinstance(said, Mapping) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    return first if isinstance(first, Mapping) else {}


def _json(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _picture(rgb: tuple[int, int, int], side: int = 64) -> str:
    """A PNG of one colour as a data URL. Source: https://www.w3.org/TR/png-3/"""
    rows = (b"\0" + bytes(rgb) * side) * side

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()
