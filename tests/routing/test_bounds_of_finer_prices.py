"""No request costs more than was held for it, whatever tier it reaches and whatever its tokens are."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from common.money import request_cost_nanos
from common.rates import FinerRates, Tier
from metering.budgets import PURSE, Budget
from providers.targets import Price
from routing.catalogue import model_of
from routing.filters import reject_preferences
from routing.scorers import by_cost
from routing.upper_bounds import Size, cost_bound, is_sold, output_within
from tests.common.test_rates import FINER, RATE, usages
from tests.routing.builders import CALLER, call, snapshot, target

USD = 10**9
TIERED = Price(USD, 2 * USD, finer=FinerRates(tiers=(Tier(200_000, 2 * USD, 3 * USD),)))
PRICES = st.builds(Price, RATE, RATE, st.none() | RATE, st.integers(0, 10**9), st.just(1), st.none() | FINER)
PAYER = Budget("purse", 9, PURSE, "wallet", "", "usd", "lifetime", 0, "block")


def test_the_bound_covers_the_highest_tier_that_the_prompt_can_reach():
    place = target("a", price=TIERED)
    # 200,000 tokens cannot reach it: 200,000 × $1 + 1,000 × $2 a million
    assert cost_bound(Size(200_000, 1_000), place) == 200_000_000 + 2_000_000
    # 200,001 can: all of them × $2, and the answer × $3
    assert cost_bound(Size(200_001, 1_000), place) == 400_002_000 + 3_000_000


def test_a_prompt_beyond_the_window_is_bounded_where_it_is_priced():
    size = Size(300_000, 0)
    assert cost_bound(size, target("a", price=TIERED, context_tokens=100_000)) == 600_000_000
    below = msgspec.structs.replace(TIERED, finer=FinerRates(tiers=(Tier(50_000, 2 * USD, 3 * USD),)))
    assert cost_bound(size, target("a", price=below, context_tokens=100_000)) == 200_000_000


def test_dearer_kinds_of_tokens_are_in_the_bound():
    price = Price(USD, 2 * USD, finer=FinerRates(cache_write_nanos=5 * USD, audio_output_nanos=80 * USD))
    assert cost_bound(Size(1_000, 10), target("a", price=price)) == 5_000_000 + 800_000
    free = Price(0, 0, finer=FinerRates(reasoning_nanos=USD))
    assert is_sold(target("a", price=free), org_id=7)


@given(usages(), PRICES, st.integers(0, 500), st.integers(0, 500), st.none() | st.integers(1, 5_000))
def test_no_charge_is_above_its_bound(usage, price, more_input, more_output, context):
    size = Size(usage.input_tokens + more_input, usage.output_tokens + more_output)
    if context is not None and context < usage.input_tokens:
        context = usage.input_tokens  # an upstream takes what fits
    assert request_cost_nanos(usage, price) <= cost_bound(size, target("a", price=price, context_tokens=context))


@given(PRICES, st.integers(0, 4_000), st.integers(1, 1_000), st.integers(1, 4), st.integers(0, 10**13))
def test_what_money_allows_costs_no_more_than_the_money(price, prompt, wanted, choices, available):
    place = target("a", price=price)
    allowed = output_within(PAYER, available, Size(prompt, wanted * choices), choices, [place])
    assert allowed <= wanted
    if allowed >= 1:
        assert cost_bound(Size(prompt, allowed * choices), place) <= available


def test_the_cheapest_for_short_prompts_need_not_be_so_for_long_ones():
    tiered, flat = target("tiered", price=TIERED), target("flat", price=Price(1_500_000_000, 2 * USD))
    short, long = call(size=4_000), call(size=1_000_000)
    assert by_cost(short, tiered, 1, None) < by_cost(short, flat, 1, None)
    assert by_cost(long, tiered, 1, None) > by_cost(long, flat, 1, None)


def test_nobody_pays_more_than_the_price_they_set():
    limits = {"provider": {"max_price": {"prompt": 1.5, "completion": 9}}}
    place = target("a", price=TIERED)
    assert reject_preferences(call(size=150_000, **limits), place) is None
    assert reject_preferences(call(size=250_000, **limits), place) == "too_expensive"


def test_the_catalogue_tells_of_tiers_and_kinds():
    finer = FinerRates(cache_write_nanos=5 * USD, tiers=(Tier(200_000, 2 * USD, 3 * USD, audio_output_nanos=USD),))
    place = target("a", price=Price(USD, 2 * USD, USD // 2, 10_000_000, finer=finer))
    described = model_of(snapshot(place), CALLER, "m")
    assert described is not None
    assert described["pricing"] == {
        "prompt": "0.000001",
        "completion": "0.000002",
        "input_cache_read": "0.0000005",
        "input_cache_write": "0.000005",
        "request": "0.010000000",
        "tiers": [
            {
                "above_prompt_tokens": 200_000,
                "prompt": "0.000002",
                "completion": "0.000003",
                "audio_output": "0.000001",
            }
        ],
    }
