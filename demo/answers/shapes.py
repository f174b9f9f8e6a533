"""The values that every endpoint's answer is made of, and the refusal in OpenAI's words."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks: the simulated provider's name, told in each answer."""

    name: str

    @property
    def fingerprint(self) -> str:
        return f"fp_{self.name.lower()}"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes one answer differ from the next one of the same request."""

    id: str = field(default_factory=lambda: uuid4().hex)
    created_s: int = field(default_factory=lambda: int(time.time()))


@dataclass(frozen=True, slots=True)
class Event:
    """One streamed chunk and how many tokens it carries."""

    chunk: dict[str, Any]
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One right answer, whole and as events.

    Attributes:
        body: the answer of a request that does not stream.
        events: the same answer streamed, without `[DONE]`; empty where the endpoint cannot stream.
        tokens: completion tokens in it.
    """

    body: dict[str, Any]
    events: tuple[Event, ...] = ()
    tokens: int = 0

    @property
    def text(self) -> str:
        """The first choice's words; empty where there are none."""
        first: dict[str, Any] = next(iter(self.body.get("choices", ())), {})
        return first.get("text") or first.get("message", {}).get("content") or ""

    @property
    def usage(self) -> Any:
        return self.body.get("usage")


class Refused(Exception):
    """The request cannot be answered; `body` is what OpenAI would say."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def wrong_key() -> Refused:
    return Refused("Incorrect API key provided.", status=401, code="invalid_api_key")


def unknown_model(model: object) -> Refused:
    return Refused(
        f"The model `{model}` does not exist or you do not have access to it.",
        status=404,
        param="model",
        code="model_not_found",
    )


def model_of(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused("you must provide a model parameter", param="model")
    return model


def whole_number(body: Mapping[str, Any], name: str, *, least: int, most: int) -> int | None:
    """Read an optional integer field; out of bounds or of another type it is refused."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Refused(f"'{name}' must be an integer between {least} and {most}.", param=name)
    return value


def stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    given = body.get("stop")
    listed = [given] if isinstance(given, str) else given or []
    if not isinstance(listed, list) or len(listed) > 4 or not all(isinstance(word, str) for word in listed):
        raise Refused("'stop' must be a string or a list of up to 4 strings.", param="stop")
    return tuple(word for word in listed if word)


def wants_stream_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def usage(prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": min(cached_tokens, prompt_tokens), "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
