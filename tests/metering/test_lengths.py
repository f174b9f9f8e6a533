"""What long prompts came to is packed into one number that adds up, and is read out of it to the last token."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from metering.lengths import EDGES, MOST_DIGITS, digits_of, parts_of


@dataclass
class One:
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    requests: int = 1
    long_prompts: int = 0


lengths = st.sampled_from([0, *EDGES, *(edge + 1 for edge in EDGES)]) | st.integers(0, 2_000_000)
some = st.lists(st.builds(One, lengths, st.integers(0, 8_000), st.integers(0, 200_000)), max_size=30)


def sum_of(requests: list[One]) -> One:
    names = ("input_tokens", "cached_tokens", "output_tokens")
    sums = {name: sum(getattr(one, name) for one in requests) for name in names}
    return One(**sums, requests=len(requests), long_prompts=sum(map(digits_of, requests)))


@given(some)
def test_the_parts_of_a_sum_are_its_requests_by_their_length(requests: list[One]) -> None:
    steps: dict[int, list[One]] = {}
    for one in requests:
        steps.setdefault(sum(one.input_tokens > edge for edge in EDGES), []).append(one)
    found = [(p.requests, p.input_tokens, p.cached_tokens, p.output_tokens) for p in parts_of(sum_of(requests))]
    wanted = [sum_of(steps[step]) for step in sorted(steps)]
    assert found == [(one.requests, one.input_tokens, one.cached_tokens, one.output_tokens) for one in wanted]


def test_the_number_fits_its_column() -> None:
    most = One(2_000_000, 0, 2_000_000)
    assert len(str(digits_of(most) * 10**9)) <= MOST_DIGITS <= 1000
