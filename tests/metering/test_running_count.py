"""A growing text is counted as it would be at once, however it grows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from metering.running_count import MOST_OPEN_CHARS, RunningCount
from metering.tokens import count_tokens

_SIGNS = st.sampled_from(
    ["the ", "sea", " it's", "  ", "\n", " 12", "3", ", ", "é", "ทะเล", " ม", "🌊", "x_y", " _", "!"]
)


@settings(max_examples=300)
@given(st.lists(st.lists(_SIGNS, max_size=8).map("".join), max_size=8))
def test_parts_count_as_the_whole(parts):
    count, text = RunningCount(), ""
    for part in parts:
        text += part
        assert count.add(part) == count_tokens(text)


def test_of_a_text_without_spaces_each_cut_costs_a_token_at_most():
    count, piece = RunningCount(), "ทะเล" * 500
    for _ in range(10):
        counted = count.add(piece)
    exact = count_tokens(piece * 10)
    assert exact <= counted <= exact + 10 * len(piece) // MOST_OPEN_CHARS
