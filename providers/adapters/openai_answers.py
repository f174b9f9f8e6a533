"""Answers of OpenAI's dialect that are no chat: checked as far as they could mislead, and passed on as they came.

One reader for each endpoint: the call and the bytes of a 200 in, a Completion or UpstreamFailure out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import orjson

from providers.adapters.base import Completion
from providers.adapters.openai_usage import Usage, usage_of
from providers.endpoints import IMAGES, MODERATIONS, PICTURE_TOKENS, RERANK
from providers.failures import Kind, UpstreamFailure
from providers.inputs import results_wanted
from providers.schema import Call

_Form = TypeVar("_Form", bound="_Answer")


class _Answer(msgspec.Struct):
    error: Any = None
    usage: Usage | None = None


class _Judgement(msgspec.Struct):
    """Of one input. Some vendors give categories without a verdict."""

    flagged: bool | None = None
    categories: dict[str, bool | None] | None = None
    category_scores: dict[str, float | None] | None = None


class _Judged(_Answer):
    results: list[_Judgement] | None = None


def _moderation(call: Call, body: bytes) -> Completion:
    answer = _read(body, _Judged)
    if not answer.results:
        raise UpstreamFailure(Kind.EMPTY, "no results in the answer")
    if len(answer.results) != (wanted := results_wanted(call.body["input"])):
        raise UpstreamFailure(Kind.MALFORMED, f"{len(answer.results)} results for {wanted} inputs")
    if any(result.flagged is None and not result.categories for result in answer.results):
        raise UpstreamFailure(Kind.MALFORMED, "a result that says nothing")
    return Completion(body, usage_of(answer.usage), "")


class _Rank(msgspec.Struct):
    index: int
    relevance_score: float


class _Ranked(_Answer):
    results: list[_Rank] | None = None


def _ranking(call: Call, body: bytes) -> Completion:
    """Whoever reads it takes documents by their places: one that is not there, or is there twice, leads astray."""
    answer = _read(body, _Ranked)
    if not answer.results:
        raise UpstreamFailure(Kind.EMPTY, "no results in the answer")
    places = {rank.index for rank in answer.results}
    if len(places) < len(answer.results) or min(places) < 0 or max(places) >= len(call.body["documents"]):
        raise UpstreamFailure(Kind.MALFORMED, "documents that were not asked about, or twice")
    usage = answer.usage
    if usage is not None and usage.prompt_tokens is None:  # some tell their sum alone, and it is all input
        usage.prompt_tokens = usage.total_tokens
    return Completion(body, usage_of(usage), "")


class _PicturesUsage(Usage):
    """OpenAI names tokens otherwise here than in chats."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class _Picture(msgspec.Struct):
    b64_json: str | None = None
    url: str | None = None


class _Pictures(_Answer):
    usage: _PicturesUsage | None = None
    data: list[_Picture] | None = None


def _pictures(call: Call, body: bytes) -> Completion:
    answer = _read(body, _Pictures)
    if not answer.data:
        raise UpstreamFailure(Kind.EMPTY, "no pictures in the answer")
    if not all(picture.b64_json or picture.url for picture in answer.data):
        raise UpstreamFailure(Kind.MALFORMED, "a picture that is neither there nor elsewhere")
    usage = answer.usage
    if usage is not None and usage.input_tokens is not None:
        usage.prompt_tokens, usage.completion_tokens = usage.input_tokens, usage.output_tokens
    return Completion(body, usage_of(usage), "", unworded_tokens=PICTURE_TOKENS * len(answer.data))


def _read(body: bytes, form: type[_Form]) -> _Form:
    """Raises: UpstreamFailure: no answer of this form, or an error inside a 200."""
    try:
        answer = msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # A ValidationError is a DecodeError: wrong types are as malformed as broken JSON.
        answer = _without_usage(body, form, error)
    if answer.error:
        raise UpstreamFailure(Kind.ERROR_IN_BODY, "an error inside a 200")
    check_text(body)
    return answer


def check_text(body: bytes) -> None:
    """Of what is passed over by a decoder nobody has seen whether it can be read. Raises: UpstreamFailure."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise UpstreamFailure(Kind.MALFORMED, "an answer that is no UTF-8") from error


def _without_usage(body: bytes, form: type[_Form], error: Exception) -> _Form:
    """A second chance for an answer that is right but for its usage (text, floats, 1e18)."""
    try:
        loose = orjson.loads(body)
        if isinstance(loose, dict):
            loose.pop("usage", None)
        return msgspec.convert(loose, form)
    except (orjson.JSONDecodeError, msgspec.ValidationError):
        raise UpstreamFailure(Kind.MALFORMED, "not an answer in the form of its endpoint") from error


READERS: dict[str, Callable[[Call, bytes], Completion]] = {
    MODERATIONS: _moderation,
    RERANK: _ranking,
    IMAGES: _pictures,
}
