"""What machines of others say that they have used, held against what the gateway counts itself.

    guest's answer ──▶ Recounts.note ──(thread)──▶ doubts ──▶ NodeDoubt, a row per machine, model, kind and day

Nobody pays by this: it is the evidence by which rewards are held back. Vocabularies differ, so only what none
explains is doubted. An organisation's own machines are not recounted: they cost it nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec
import orjson

from providers.adapters.base import REPORTED, TokenUsage
from providers.schema import Call
from providers.targets import Target

MORE_THAN_BYTES, INFLATED, PROMPT_INFLATED, TOO_FAST = "more_than_bytes", "inflated", "prompt_inflated", "too_fast"
WRONG_ANSWER, NO_ANSWER = "wrong_answer", "no_answer"
"""The last two are of canaries."""

MOST_AT_ONCE = 64
"""Answers that wait for their recount; further ones are not recounted."""

_MARKS_TOKENS = 16
"""Begin, end and what else a model counts besides its text."""

_TEMPLATE_TOKENS = 512
"""What a chat template may put around a prompt."""

_INFLATION = 3.0
"""Times what is counted here. No vocabulary in use splits ordinary text so much finer."""

_MOST_PER_S, _LEAST_FOR_SPEED = 5_000, 200
"""Tokens of one stream in a second, judged where there are enough of them."""


class Recount(msgspec.Struct, frozen=True):
    """One answer. `text_bytes` is what came of it, `prompt_bytes` bounds the prompt's tokens from above."""

    request_id: str
    target_id: int
    said: TokenUsage
    counted: TokenUsage
    text_bytes: int
    prompt_bytes: int
    took_s: float


class Watcher(Protocol):
    def note(self, target: Target) -> None:
        """A guest has been answered by it."""


Count = Callable[[Call, str], TokenUsage]
Text = Callable[[], str]
Keep = Callable[[Recount, list[str]], Coroutine[Any, Any, None]]


def doubts_of(recount: Recount) -> list[str]:
    said, counted, found = recount.said, recount.counted, []
    if said.output_tokens > recount.text_bytes + _MARKS_TOKENS:
        found.append(MORE_THAN_BYTES)
    elif said.output_tokens > _INFLATION * counted.output_tokens + _MARKS_TOKENS:
        found.append(INFLATED)
    if said.input_tokens > recount.prompt_bytes + _TEMPLATE_TOKENS:
        found.append(PROMPT_INFLATED)
    if said.output_tokens >= max(_LEAST_FOR_SPEED, _MOST_PER_S * recount.took_s):
        found.append(TOO_FAST)
    return found


def text_of(body: bytes) -> str:
    """All of a whole answer that a model may have written; with some marks of JSON, in the machine's favour."""
    try:
        choices = orjson.loads(body).get("choices") or []
        return orjson.dumps([choice.get("message") or choice.get("text") for choice in choices]).decode()
    except (orjson.JSONDecodeError, AttributeError):
        return body.decode("utf-8", "replace")


class Recounts:
    """Of one process.

    Args:
        count: blocking, as the gateway counts for an upstream that says nothing.
        keep: what is doubted of an answer, such as `nodes.doubts.keep`.
    """

    def __init__(self, count: Count, keep: Keep) -> None:
        self.keep = keep
        self._count = count
        self._tasks: set[asyncio.Task[Any]] = set()
        self.watcher: Watcher | None = None

    def note(self, call: Call, target: Target, said: TokenUsage, text: Text, took_s: float) -> None:
        """A guest's answer is complete. Never waits, never raises. `text` is called in a thread."""
        if said.source == REPORTED and len(self._tasks) < MOST_AT_ONCE:
            self._keep(self.judge(call, target, said, text, took_s))
        if self.watcher is not None:
            self.watcher.note(target)

    async def judge(self, call: Call, target: Target, said: TokenUsage, text: Text, took_s: float) -> None:
        """Counts, and keeps what is doubted."""
        counted, text_bytes = await asyncio.to_thread(self._measure, call, text)
        recount = Recount(call.request_id, target.id, said, counted, text_bytes, call.prompt_bytes, took_s)
        if doubts := doubts_of(recount):
            await self.keep(recount, doubts)

    async def aclose(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _measure(self, call: Call, text: Text) -> tuple[TokenUsage, int]:
        words = text()
        return self._count(call, words), len(words.encode("utf-8", "replace"))

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
