"""Finer prices: of kinds of tokens that cost otherwise than the rest, and of requests with long prompts. Pure.

A request whose prompt has more tokens than a tier says costs that tier's rates as a whole, all its tokens, as vendors
bill it. A kind of tokens without a rate of its own costs as the other tokens of its side do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class TokenDetails(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Of the input what was written to the vendor's cache and what was sound; of the output what was thought and what
    was sound. Beside these are the tokens that were read from the cache: no token is of two kinds."""

    cache_write: int = 0
    audio_input: int = 0
    reasoning: int = 0
    audio_output: int = 0

    def __add__(self, other: TokenDetails) -> TokenDetails:
        return TokenDetails(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


class Tier(msgspec.Struct, frozen=True, omit_defaults=True):
    """All rates of a request whose prompt has more than `above_tokens`, in nano-USD per million tokens."""

    above_tokens: int
    input_nanos: int
    output_nanos: int
    cached_input_nanos: int | None = None
    cache_write_nanos: int | None = None
    audio_input_nanos: int | None = None
    reasoning_nanos: int | None = None
    audio_output_nanos: int | None = None

    @property
    def dearest_input_nanos(self) -> int:
        kinds = (self.cached_input_nanos, self.cache_write_nanos, self.audio_input_nanos)
        return max(self.input_nanos, *(rate or 0 for rate in kinds))

    @property
    def dearest_output_nanos(self) -> int:
        return max(self.output_nanos, self.reasoning_nanos or 0, self.audio_output_nanos or 0)


class FinerRates(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a price says beside its four figures; the `tiers` by their size."""

    cache_write_nanos: int | None = None
    audio_input_nanos: int | None = None
    reasoning_nanos: int | None = None
    audio_output_nanos: int | None = None
    tiers: tuple[Tier, ...] = ()


class Line(msgspec.Struct, frozen=True):
    """One line of a bill: so many tokens of a kind at a rate."""

    kind: str
    tokens: int
    rate_nanos: int

    @property
    def nanos_times_million(self) -> int:
        return self.tokens * self.rate_nanos


class Rates(Protocol):
    """Nano-USD per million tokens, and per request. No rate for cached input: it costs as much as other input."""

    @property
    def input_nanos(self) -> int: ...
    @property
    def cached_input_nanos(self) -> int | None: ...
    @property
    def output_nanos(self) -> int: ...
    @property
    def request_nanos(self) -> int: ...
    @property
    def finer(self) -> FinerRates | None: ...


class TokenCounts(Protocol):
    """`cached_tokens` are a part of `input_tokens`, as OpenAI reports them."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def token_details(self) -> TokenDetails | None: ...


INPUT, CACHED, CACHE_WRITE, AUDIO_INPUT = "input", "cached_input", "cache_write", "audio_input"
OUTPUT, REASONING, AUDIO_OUTPUT = "output", "reasoning", "audio_output"
KINDS = (INPUT, CACHED, CACHE_WRITE, AUDIO_INPUT, OUTPUT, REASONING, AUDIO_OUTPUT)
NO_DETAILS = TokenDetails()


def tiers_within(price: Rates, input_tokens: int) -> Sequence[Tier]:
    """Those that a prompt of at most so many tokens can meet; the first is the price without any."""
    finer = price.finer or FinerRates()
    plain = Tier(
        0,
        price.input_nanos,
        price.output_nanos,
        price.cached_input_nanos,
        finer.cache_write_nanos,
        finer.audio_input_nanos,
        finer.reasoning_nanos,
        finer.audio_output_nanos,
    )
    return [plain, *(tier for tier in finer.tiers if tier.above_tokens < input_tokens)]


def tier_at(price: Rates, input_tokens: int) -> Tier:
    """The one that a request with so long a prompt costs."""
    return tiers_within(price, input_tokens)[-1]


def lines_of(usage: TokenCounts, price: Rates) -> list[Line]:
    """The bill, without what each request costs. Kinds that were not used are left out.

    Raises: ValueError: for negative figures, and for more tokens of some kind than there were.
    """
    tier, details = tier_at(price, usage.input_tokens), usage.token_details or NO_DETAILS
    input_, output = tier.input_nanos, tier.output_nanos
    plain_input = usage.input_tokens - usage.cached_tokens - details.cache_write - details.audio_input
    plain_output = usage.output_tokens - details.reasoning - details.audio_output
    lines = [
        Line(INPUT, plain_input, input_),
        Line(CACHED, usage.cached_tokens, _or(tier.cached_input_nanos, input_)),
        Line(CACHE_WRITE, details.cache_write, _or(tier.cache_write_nanos, input_)),
        Line(AUDIO_INPUT, details.audio_input, _or(tier.audio_input_nanos, input_)),
        Line(OUTPUT, plain_output, output),
        Line(REASONING, details.reasoning, _or(tier.reasoning_nanos, output)),
        Line(AUDIO_OUTPUT, details.audio_output, _or(tier.audio_output_nanos, output)),
    ]
    if any(line.tokens < 0 or line.rate_nanos < 0 for line in lines):
        raise ValueError("tokens and prices are not negative, and parts not more than the whole")
    return [line for line in lines if line.tokens]


def details_within(input_left: int, output: int, details: TokenDetails) -> TokenDetails | None:
    """What can be true of reported details: of `input_left` tokens that did not come from the cache, and of the
    output. None when nothing is left of them."""
    cache_write = _part(details.cache_write, input_left)
    audio_input = _part(details.audio_input, input_left - cache_write)
    reasoning = _part(details.reasoning, output)
    audio_output = _part(details.audio_output, output - reasoning)
    if not (cache_write or audio_input or reasoning or audio_output):
        return None
    return TokenDetails(cache_write, audio_input, reasoning, audio_output)


def summed(one: TokenDetails | None, other: TokenDetails | None) -> TokenDetails | None:
    return one + other if one and other else one or other


def _part(reported: int, whole: int) -> int:
    return min(max(reported, 0), whole)


def _or(rate: int | None, other: int) -> int:
    return other if rate is None else rate
