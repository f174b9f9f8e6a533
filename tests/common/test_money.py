from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import money
from common.money import AmountInvalid

NANOS = st.integers(-money.MAX_NANOS, money.MAX_NANOS)
TOKENS = st.integers(0, 10**9)
RATE = st.integers(0, 10**13)


class Used(msgspec.Struct, frozen=True):
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    token_details: None = None


class Price(msgspec.Struct, frozen=True):
    input_nanos: int = 0
    output_nanos: int = 0
    cached_input_nanos: int | None = None
    request_nanos: int = 0
    finer: None = None


# Amounts


@given(NANOS)
def test_nanos_survive_the_way_to_usd_and_back(nanos: int):
    assert money.nanos_from_usd(money.usd_from_nanos(nanos)) == nanos


@given(NANOS)
def test_nanos_survive_whatever_the_surrounding_precision(nanos: int):
    with localcontext(prec=3):
        assert money.nanos_from_usd(money.usd_from_nanos(nanos)) == nanos


def test_amounts_of_usd():
    assert money.nanos_from_usd(Decimal("12.34")) == 12_340_000_000
    assert money.nanos_from_usd(Decimal("-0.000000001")) == -1
    assert money.nanos_from_usd(Decimal("1E+3")) == 1_000_000_000_000
    assert money.nanos_from_usd(Decimal("1.0000000000000")) == money.NANOS_PER_USD
    assert money.usd_from_nanos(123_000) == Decimal("0.000123")


@pytest.mark.parametrize(
    "usd",
    [
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "0.0000000001",
        "1.0000000005",
        "9223372036.854775808",
        "1E-400",
        "1E+400",
        "1E+999999",
    ],
)
def test_what_nanos_cannot_express_is_refused_and_never_rounded(usd: str):
    with pytest.raises(AmountInvalid):
        money.nanos_from_usd(Decimal(usd))


@pytest.mark.parametrize("amount", [1.5, 1, "1.5", True])
def test_only_decimals_are_amounts(amount: object):
    with pytest.raises(TypeError):
        money.nanos_from_usd(amount)


# Costs


@given(TOKENS, RATE)
def test_a_cost_is_the_exact_one_rounded_half_up(tokens: int, rate: int):
    with localcontext(prec=60):
        exact = Decimal(tokens) * Decimal(rate) / Decimal(1_000_000)
        assert money.cost_nanos(tokens, rate) == int(exact.to_integral_value(ROUND_HALF_UP))


def test_half_a_nano_rounds_up():
    assert money.cost_nanos(1, 499_999) == 0
    assert money.cost_nanos(1, 500_000) == 1
    assert money.cost_nanos(3, 500_000) == 2


def test_a_request_rounds_once_on_the_sum():
    # Three times 0.4 nanos: rounded apart they would be 0, together they are 1.
    used = Used(input_tokens=2, cached_tokens=1, output_tokens=1)
    assert money.request_cost_nanos(used, Price(400_000, 400_000, 400_000)) == 1


def test_a_request_of_a_known_price():
    # 1,000 in of which 400 cached, 200 out; $3, $0.30 and $15 per million, $0.01 per request.
    price = Price(3_000_000_000, 15_000_000_000, 300_000_000, 10_000_000)
    cost = money.request_cost_nanos(Used(1000, 400, 200), price)
    assert money.usd_from_nanos(cost) == Decimal("0.01492")


def test_cached_input_without_a_price_of_its_own_costs_as_much_as_other_input():
    used = Used(input_tokens=1000, cached_tokens=1000)
    assert money.request_cost_nanos(used, Price(input_nanos=10**9)) == 10**6
    assert money.request_cost_nanos(used, Price(input_nanos=10**9, cached_input_nanos=0)) == 0


@given(st.tuples(TOKENS, TOKENS, TOKENS), st.builds(Price, RATE, RATE, RATE | st.none(), RATE))
def test_a_requests_cost_differs_from_the_exact_one_by_at_most_half_a_nano(counts, price: Price):
    used = Used(counts[0] + counts[1], counts[1], counts[2])
    cached_rate = price.input_nanos if price.cached_input_nanos is None else price.cached_input_nanos
    exact = Fraction(counts[0] * price.input_nanos + counts[1] * cached_rate + counts[2] * price.output_nanos, 10**6)
    difference = money.request_cost_nanos(used, price) - (exact + price.request_nanos)
    assert Fraction(-1, 2) < difference <= Fraction(1, 2)


@given(TOKENS, TOKENS, TOKENS, st.builds(Price, RATE, RATE, st.none(), RATE))
def test_more_tokens_never_cost_less(input_tokens: int, output_tokens: int, more: int, price: Price):
    cost = money.request_cost_nanos(Used(input_tokens, 0, output_tokens), price)
    assert money.request_cost_nanos(Used(input_tokens + more, 0, output_tokens), price) >= cost
    assert money.request_cost_nanos(Used(input_tokens, 0, output_tokens + more), price) >= cost


@pytest.mark.parametrize(
    ("used", "price"),
    [
        (Used(input_tokens=-1), Price()),
        (Used(output_tokens=-1), Price()),
        (Used(cached_tokens=-1), Price()),
        (Used(input_tokens=1, cached_tokens=2), Price()),
        (Used(), Price(input_nanos=-1)),
        (Used(), Price(output_nanos=-1)),
        (Used(), Price(cached_input_nanos=-1)),
        (Used(), Price(request_nanos=-1)),
    ],
)
def test_nothing_negative_is_counted(used: Used, price: Price):
    with pytest.raises(ValueError, match=r"negative|cached"):
        money.request_cost_nanos(used, price)


# As texts


@pytest.mark.parametrize(
    ("nanos_per_million", "text"),
    [(150_000_000, "0.00000015"), (0, "0"), (1, "0.000000000000001"), (10**15, "1"), (2 * 10**16, "20")],
)
def test_prices_per_token_have_no_exponent(nanos_per_million: int, text: str):
    assert money.usd_per_token(nanos_per_million) == text


@given(st.integers(0, money.MAX_NANOS))
def test_prices_survive_the_api(nanos_per_million: int):
    text = money.usd_per_token(nanos_per_million)
    assert set(text) <= set("0123456789.")
    assert money.nanos_per_million_from_usd_per_token(text) == nanos_per_million


@pytest.mark.parametrize("text", ["", "free", "NaN", "1e-16", "1e400"])
def test_what_is_no_price_per_token_is_refused(text: str):
    with pytest.raises(AmountInvalid):
        money.nanos_per_million_from_usd_per_token(text)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (123_000, "$0.000123"),
        (123_456, "$0.000123"),
        (123_500, "$0.000124"),
        (50_000_000, "$0.05"),
        (-50_000_000, "-$0.05"),
        (500_000_000, "$0.50"),
        (123_456_789, "$0.123"),
        (999_999_999, "$1.00"),
        (9_999_999, "$0.01"),
        (1_000_000_000, "$1.00"),
        (1_005_000_000, "$1.01"),
        (1_234_500_000_000, "$1,234.50"),
        (-1_234_567_890_000_000, "-$1,234,567.89"),
    ],
)
def test_amounts_for_people(nanos: int, text: str):
    assert money.format_usd(nanos) == text


@given(NANOS)
def test_amounts_for_people_are_close_to_the_truth(nanos: int):
    shown = Decimal(money.format_usd(nanos).replace("$", "").replace(",", ""))
    error = abs(money.nanos_from_usd(shown) - nanos)
    assert error * 200 <= abs(nanos)
