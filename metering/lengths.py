"""What long prompts came to, by their length: one number for each sum, so that prices with tiers can be compared.

A tier of a price holds for requests with a prompt of more than so many tokens, as a whole. So of the requests in
each step is kept how many there were, and their tokens: sixteen decimal digits each, in one number that adds up as
those of `metering.spread` do. Most requests have short prompts and add nothing: what they came to is what is left.

The steps begin where vendors' tiers do.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Protocol

EDGES = (
    4_000, 8_000, 16_000, 32_000, 64_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288,
    1_000_000,
)  # fmt: skip
"""A step has the prompts of more tokens than its edge, and of at most as many as the next one."""
_DIGITS = 16
_BASE = 10**_DIGITS
_FIGURES = ("input_tokens", "cached_tokens", "output_tokens")
_STEP = _BASE ** (1 + len(_FIGURES))
_MOST_TOKENS = 10**10
"""Counted of one request: no more is true of any, and its digits must not run into the next ones."""
MOST_DIGITS = _DIGITS * (1 + len(_FIGURES)) * len(EDGES) + _DIGITS


class Counted(Protocol):
    @property
    def input_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...


class Summed(Counted, Protocol):
    @property
    def requests(self) -> int: ...
    @property
    def long_prompts(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Part:
    """Requests whose prompts are of the same step."""

    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int

    @property
    def token_details(self) -> None:
        """Of which kinds the tokens were is not summed."""

    @property
    def prompt_tokens(self) -> int:
        """Of one request, on average."""
        return self.input_tokens // self.requests


def digits_sql(usage: str) -> str:
    """SQL of what one request adds. Args: usage: the name of its row, never input."""
    edges = ", ".join(map(str, EDGES))
    tokens = " + ".join(
        f"least({usage}.{name}, {_MOST_TOKENS}) * '1e{_DIGITS * place}'::numeric"
        for place, name in enumerate(_FIGURES, 1)
    )
    step = f"width_bucket({usage}.input_tokens - 1, ARRAY[{edges}]::bigint[]) - 1"
    return (
        f"CASE WHEN {usage}.input_tokens > {EDGES[0]}"
        f" THEN (1 + {tokens}) * ('1e' || {_DIGITS * (1 + len(_FIGURES))} * ({step}))::numeric ELSE 0 END"
    )


def digits_of(counts: Counted) -> int:
    """What one request adds."""
    step = bisect_left(EDGES, counts.input_tokens) - 1
    if step < 0:
        return 0
    figures = (1, *(min(getattr(counts, name), _MOST_TOKENS) for name in _FIGURES))
    return sum(figure * _BASE**place for place, figure in enumerate(figures)) * _STEP**step


def parts_of(row: Summed) -> list[Part]:
    """The requests of a sum by the length of their prompts, the shortest first; together they are all of it."""
    long, rest = [], row.long_prompts
    while rest:
        rest, step = divmod(rest, _STEP)
        if step:
            long.append(Part(*(step // _BASE**place % _BASE for place in range(1 + len(_FIGURES)))))
    short = Part(*(getattr(row, name) - sum(getattr(one, name) for one in long) for name in ("requests", *_FIGURES)))
    return [short, *long] if short.requests > 0 else long
