"""A chat's answer as it comes from the gateway, whole or in chunks; what is not said here is not told on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from common.errors import BadUpstreamResponse


class Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: Function = Function()


class Said(msgspec.Struct, frozen=True):
    """A message, or a piece of one. Vendors' names for thoughts vary, and some say more than texts."""

    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[ToolCall] | None = None

    @property
    def texts(self) -> Iterator[tuple[str, str]]:
        """Thoughts, then words, then a refusal."""
        thought = self.reasoning_content or self.reasoning
        for kind, text in (("reasoning", thought), ("output_text", self.content), ("refusal", self.refusal)):
            if isinstance(text, str) and text:
                yield kind, text


class Logprobs(msgspec.Struct, frozen=True):
    content: list[Any] | None = None


class Choice(msgspec.Struct, frozen=True):
    index: int = 0
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    stop_reason: Any = None

    @property
    def stopped_by(self) -> str | None:
        """The stop sequence that was met, as vLLM and those after it tell."""
        return self.stop_reason if isinstance(self.stop_reason, str) else None

    @property
    def figures(self) -> list[Any]:
        return (self.logprobs.content if self.logprobs else None) or []


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: dict[str, Any] | None = None
    completion_tokens_details: dict[str, Any] | None = None


class Answer(msgspec.Struct, frozen=True):
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None
    shareai: Any = None

    @property
    def choice(self) -> Choice | None:
        """A response has one."""
        return next((choice for choice in self.choices or [] if choice.index == 0), None)


_DECODER = msgspec.json.Decoder(Answer)


def read(data: bytes) -> Answer:
    """Raises: BadUpstreamResponse."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadUpstreamResponse() from None
