"""What a whole answer in OpenAI's form says of its tokens, as far as it can be true."""

from __future__ import annotations

import msgspec

from common.rates import TokenDetails, details_within
from providers.adapters.base import REPORTED, TokenUsage
from providers.adapters.cache_counts import ToldOfCache

MOST_TOKENS = 50_000_000
"""No answer of one request has more; a larger figure is a fault of the upstream and is not believed."""


class _Details(msgspec.Struct):
    """Of a prompt; as far as they name the same, of an answer too."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None


_NO_DETAILS = _Details()


class Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


def usage_of(usage: Usage | None) -> TokenUsage | None:
    """The reported usage, or None when there is none or it cannot be true.

    Negative or absurd figures, and nothing at all, are not believed; the gateway then counts by itself.
    """
    if usage is None:
        return None
    input_, output = usage.prompt_tokens, usage.completion_tokens or 0
    if input_ is None or not 0 <= input_ <= MOST_TOKENS or not 0 <= output <= MOST_TOKENS or input_ == output == 0:
        return None
    prompt, answer = usage.prompt_tokens_details or _NO_DETAILS, usage.completion_tokens_details or _NO_DETAILS
    told = ToldOfCache(
        prompt.cached_tokens or usage.cache_read_input_tokens or 0,
        prompt.cache_write_tokens or usage.cache_creation_input_tokens or 0,
        is_beside=usage.cache_read_input_tokens is not None or usage.cache_creation_input_tokens is not None,
    )
    input_, cached, written = told.within(input_, output, usage.total_tokens)
    figures = (written, prompt.audio_tokens, answer.reasoning_tokens, answer.audio_tokens)
    details = TokenDetails(*(figure or 0 for figure in figures)) if any(figures) else None
    kinds = details_within(input_ - cached, output, details) if details else None
    return TokenUsage(input_, output, cached, REPORTED, kinds)
