"""Finer prices: the bill by hand, and what must hold for every price and every usage."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.money import request_cost_nanos
from common.rates import FinerRates, Line, Rates, Tier, TokenDetails, details_within, lines_of, summed, tier_at

USD = 10**9
"""Nano-USD."""


class Price(msgspec.Struct, frozen=True):
    input_nanos: int
    output_nanos: int
    cached_input_nanos: int | None = None
    request_nanos: int = 0
    finer: FinerRates | None = None


class Used(msgspec.Struct, frozen=True):
    input_tokens: int
    output_tokens: int = 0
    cached_tokens: int = 0
    token_details: TokenDetails | None = None


TIERED = Price(
    3 * USD, 15 * USD, 300_000_000, 7,
    FinerRates(
        cache_write_nanos=3_750_000_000,
        tiers=(Tier(200_000, 6 * USD, 22_500_000_000, 600_000_000, 7_500_000_000), Tier(400_000, 9 * USD, 30 * USD)),
    ),
)  # fmt: skip
KINDS = Price(
    USD, 4 * USD, finer=FinerRates(audio_input_nanos=40 * USD, reasoning_nanos=3 * USD, audio_output_nanos=80 * USD)
)


@pytest.mark.parametrize(
    ("usage", "nanos"),
    [
        # 200,000 × $3 and 1,000 × $15 a million: $0.6 + $0.015, and 7 nano-USD for the request
        (Used(200_000, 1_000), 615_000_007),
        # one token more: all 200,001 × $6 and 1,000 × $22.5 a million
        (Used(200_001, 1_000), 1_200_006_000 + 22_500_000 + 7),
        # of 300,001: 100,000 read at $0.6, 50,000 written at $7.5, 150,001 at $6
        (Used(300_001, 0, 100_000, TokenDetails(cache_write=50_000)), 60_000_000 + 375_000_000 + 900_006_000 + 7),
        # the tier above 400,000 says nothing of the cache: there it costs as other input
        (Used(400_001, 0, 1, TokenDetails(cache_write=1)), 400_001 * 9_000 + 7),
    ],
)
def test_a_tier_prices_the_whole_request(usage, nanos):
    assert request_cost_nanos(usage, TIERED) == nanos


def test_kinds_of_tokens_cost_their_own_price():
    usage = Used(1_000, 500, 100, TokenDetails(audio_input=200, reasoning=300, audio_output=50))
    assert lines_of(usage, KINDS) == [
        Line("input", 700, USD),
        Line("cached_input", 100, USD),
        Line("audio_input", 200, 40 * USD),
        Line("output", 150, 4 * USD),
        Line("reasoning", 300, 3 * USD),
        Line("audio_output", 50, 80 * USD),
    ]
    assert request_cost_nanos(usage, KINDS) == 700_000 + 100_000 + 8_000_000 + 600_000 + 900_000 + 4_000_000


def test_is_rounded_once_half_up():
    price = Price(400_000, 400_000, 400_000, finer=FinerRates(cache_write_nanos=400_000, reasoning_nanos=300_000))
    usage = Used(2, 1, 0, TokenDetails(cache_write=1, reasoning=1))  # 0.4 + 0.4 + 0.3
    assert request_cost_nanos(usage, price) == 1
    assert request_cost_nanos(Used(1, 1), msgspec.structs.replace(price, input_nanos=99_999)) == 0
    assert request_cost_nanos(Used(1, 1), msgspec.structs.replace(price, input_nanos=100_000)) == 1


@pytest.mark.parametrize(
    "usage",
    [
        Used(-1),
        Used(1, 0, 2),
        Used(5, 0, 3, TokenDetails(cache_write=3)),
        Used(5, 2, 0, TokenDetails(reasoning=2, audio_output=1)),
    ],
)
def test_what_cannot_be_has_no_cost(usage):
    with pytest.raises(ValueError, match="not"):
        request_cost_nanos(usage, KINDS)


def test_details_are_believed_as_far_as_they_can_be_true():
    told = TokenDetails(cache_write=80, audio_input=50, reasoning=70, audio_output=60)
    assert details_within(100, 100, told) == TokenDetails(80, 20, 70, 30)
    assert details_within(0, 0, told) is None
    assert details_within(9, 9, TokenDetails(cache_write=-4)) is None


def test_details_of_two_targets_are_summed():
    assert TokenDetails(1, 2, 3, 4) + TokenDetails(10, 20, 30, 40) == TokenDetails(11, 22, 33, 44)
    assert summed(None, TokenDetails(1)) == TokenDetails(1) == summed(TokenDetails(1), None)
    assert summed(None, None) is None


# What holds for all of them

RATE = st.integers(0, 10**12)
MAYBE = st.none() | RATE
FINER = st.builds(
    FinerRates, MAYBE, MAYBE, MAYBE, MAYBE,
    st.lists(
        st.builds(Tier, st.integers(1, 3_000), RATE, RATE, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE),
        max_size=4, unique_by=lambda tier: tier.above_tokens,
    ).map(lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above_tokens))),
)  # fmt: skip
PRICES = st.builds(Price, RATE, RATE, MAYBE, st.integers(0, 10**9), st.none() | FINER)


@st.composite
def usages(draw, most_input: int = 4_000, most_output: int = 1_000) -> Used:
    counts = sorted(draw(st.lists(st.integers(0, most_input), min_size=4, max_size=4)))
    output = sorted(draw(st.lists(st.integers(0, most_output), min_size=3, max_size=3)))
    cached, write, audio = counts[0], counts[1] - counts[0], counts[2] - counts[1]
    details = TokenDetails(write, audio, output[0], output[1] - output[0])
    return Used(counts[3], output[2], cached, draw(st.sampled_from([None, details])))


@given(usages(), PRICES)
def test_a_bill_is_its_lines_rounded_once(usage: Used, price: Rates):
    exact = Fraction(sum(line.nanos_times_million for line in lines_of(usage, price)), 10**6)
    difference = request_cost_nanos(usage, price) - price.request_nanos - exact
    assert Fraction(-1, 2) < difference <= Fraction(1, 2)
    assert sum(line.tokens for line in lines_of(usage, price)) == usage.input_tokens + usage.output_tokens


@given(st.integers(0, 4_000), PRICES)
def test_the_tier_is_the_last_that_begins_below_the_prompt(tokens: int, price: Rates):
    tiers = price.finer.tiers if price.finer else ()
    assert tier_at(price, tokens).above_tokens == max(
        [0, *(t.above_tokens for t in tiers if t.above_tokens < tokens)]
    )
