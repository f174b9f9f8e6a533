"""What machines of others say that they have used, held against what the gateway counts itself.

    guest's answer ──(thread)──▶ Recount ──▶ believed: what is charged and recorded
                                         └─▶ Recounts.note ──▶ doubts ──▶ NodeDoubt, a row per model, kind and day

Every answer is counted before it is charged, and its machine's word is taken only where it is near that count. Doubts
are the evidence by which rewards are held back: vocabularies differ, so only what none explains is doubted. An
organisation's own machines are not recounted: they cost it nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec
import orjson

from providers.adapters.base import COUNTED, TokenUsage, cut
from providers.schema import Call
from providers.targets import Target

MORE_THAN_BYTES, INFLATED, PROMPT_INFLATED, TOO_FAST = "more_than_bytes", "inflated", "prompt_inflated", "too_fast"
WRONG_ANSWER, NO_ANSWER = "wrong_answer", "no_answer"
"""The last two are of canaries."""

MOST_WAITING = 10_000
"""Doubted answers that wait for PostgreSQL; what comes besides is told in the log alone. None is paid by its word."""

_SPARE = 4
"""A vocabulary may split text a quarter finer than the gateway's own and still be taken at its word."""

_MARKS_BELIEVED = 8
"""End of the answer, and what marks thoughts and calls of tools."""

_TEMPLATE_BELIEVED, _TURN_BELIEVED = 64, 8
"""What a chat template puts before a prompt, and around each of its messages."""

_IMAGE_BELIEVED = 4_096

_MARKS_TOKENS = 16
"""Begin, end and what else a model counts besides its text."""

_TEMPLATE_TOKENS = 512
"""What a chat template may put around a prompt."""

_INFLATION = 3.0
"""Times what is counted here. No vocabulary in use splits ordinary text so much finer."""

_MOST_PER_S, _LEAST_FOR_SPEED = 5_000, 200
"""Tokens of one stream in a second, judged where there are enough of them."""


_WRITTEN = (
    "reasoning", "reasoning_content", "content", "text", "refusal", "tool_calls", "function_call", "function", "name",
    "arguments",
)  # fmt: skip
"""Members of a message, and of what is in it, that a model writes."""

logger = logging.getLogger(__name__)


class Recount(msgspec.Struct, frozen=True):
    """One answer. `text_bytes` is what came of it, `prompt_bytes` bounds the prompt's tokens from above; `turns` are
    the messages of the prompt, `images` those in it."""

    request_id: str
    target_id: int
    said: TokenUsage
    counted: TokenUsage
    text_bytes: int
    prompt_bytes: int
    turns: int = 1
    images: int = 0

    @property
    def believed(self) -> TokenUsage:
        """What was said as far as the gateway's own count is near it, else that count."""
        said, counted = self.said, self.counted
        images = self.images * _IMAGE_BELIEVED
        prompt = counted.input_tokens + counted.input_tokens // _SPARE + images
        prompt += _TEMPLATE_BELIEVED + _TURN_BELIEVED * self.turns
        answer = counted.output_tokens + counted.output_tokens // _SPARE + _MARKS_BELIEVED
        if said.input_tokens <= prompt and said.output_tokens <= answer:
            return said
        input_tokens, output_tokens = said.input_tokens, said.output_tokens
        if input_tokens > prompt:
            input_tokens = counted.input_tokens + images
        return cut(said, input_tokens, output_tokens if output_tokens <= answer else counted.output_tokens, COUNTED)


class Watcher(Protocol):
    def note(self, target: Target) -> None:
        """A guest has been answered by it."""


Count = Callable[[Call, str], TokenUsage]
Keep = Callable[[Recount, list[str]], Coroutine[Any, Any, None]]


def doubts_of(recount: Recount, took_s: float) -> list[str]:
    said, counted, found = recount.said, recount.counted, []
    if said.output_tokens > recount.text_bytes + _MARKS_TOKENS:
        found.append(MORE_THAN_BYTES)
    elif said.output_tokens > _INFLATION * counted.output_tokens + _MARKS_TOKENS:
        found.append(INFLATED)
    if said.input_tokens > recount.prompt_bytes + _TEMPLATE_TOKENS:
        found.append(PROMPT_INFLATED)
    if said.output_tokens >= max(_LEAST_FOR_SPEED, _MOST_PER_S * took_s):
        found.append(TOO_FAST)
    return found


def text_of(body: bytes) -> str:
    """All of a whole answer that a model may have written."""
    try:
        choices = orjson.loads(body).get("choices") or []
        written = [choice.get("message") or choice.get("text") for choice in choices]
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return body.decode("utf-8", "replace")
    return "".join(_words_in(written))


def _words_in(written: Any) -> list[str]:
    """Not by recursion: a machine decides how deep it is."""
    words: list[str] = []
    left = [written]
    while left:
        value = left.pop()
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, list):
            left += reversed(value)
        elif isinstance(value, dict):
            left += [value[name] for name in reversed(_WRITTEN) if name in value]
    return words


class Recounts:
    """The doubts of one process.

    Args:
        count: blocking, as the gateway counts for an upstream that says nothing.
        keep: what is doubted of an answer, such as `nodes.doubts.keep`.
    """

    def __init__(self, count: Count, keep: Keep) -> None:
        self.keep = keep
        self._count = count
        self._waiting: deque[tuple[Recount, list[str]]] = deque()
        self._keeping: asyncio.Task[None] | None = None
        self.watcher: Watcher | None = None

    def note(self, target: Target, recount: Recount | None, took_s: float) -> None:
        """A guest's answer is complete; without a recount it told no usage. Never waits, never raises."""
        if recount is not None and (doubts := doubts_of(recount, took_s)):
            self._wait(recount, doubts)
        if self.watcher is not None:
            self.watcher.note(target)

    async def judge(self, call: Call, target: Target, said: TokenUsage, words: str, took_s: float) -> None:
        """Counts, and keeps what is doubted."""
        counted = await asyncio.to_thread(self._count, call, words)
        text_bytes = len(words.encode("utf-8", "replace"))
        recount = Recount(call.request_id, target.id, said, counted, text_bytes, call.prompt_bytes)
        if doubts := doubts_of(recount, took_s):
            await self.keep(recount, doubts)

    async def aclose(self) -> None:
        if self._keeping is not None:
            await self._keeping

    def _wait(self, recount: Recount, doubts: list[str]) -> None:
        if len(self._waiting) >= MOST_WAITING:
            logger.warning("request %s: %s, not kept: too many wait", recount.request_id, ", ".join(doubts))
            return
        self._waiting.append((recount, doubts))
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.get_running_loop().create_task(self._keep_all())

    async def _keep_all(self) -> None:
        while self._waiting:
            await self.keep(*self._waiting.popleft())
