"""Every unit of a share goes somewhere, once; never less than nothing."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.earnings.models import EXCHANGE, MISSION, REWARDS
from billing.earnings.splitting import Choice, split
from billing.terms import Terms

NANOS = st.integers(0, 10**18)
CAUSES = st.lists(st.integers(1, 100), max_size=6).map(lambda weights: tuple(enumerate(weights, start=1)))
CHOICES = st.builds(Choice, st.sampled_from([REWARDS, EXCHANGE, MISSION]), st.integers(10, 100), CAUSES)

exact = settings(suppress_health_check=[HealthCheck.too_slow])


@exact
@given(NANOS, CHOICES)
def test_the_parts_sum_to_the_share_and_none_is_negative(nanos, choice):
    parts = split(nanos, choice)
    assert parts.total == nanos
    assert parts.escrow >= 0
    assert parts.exchanged >= 0
    assert all(part > 0 for part in parts.donated.values())


@exact
@given(NANOS, st.integers(10, 100), CAUSES.filter(bool))
def test_what_is_given_is_the_percentage_rounded_down_once(nanos, percent, causes):
    assert sum(split(nanos, Choice(MISSION, percent, causes)).donated.values()) == nanos * percent // 100


@exact
@given(NANOS, CAUSES.filter(bool))
def test_each_cause_gets_its_weight_within_one_unit(nanos, causes):
    donated = split(nanos, Choice(MISSION, 100, causes)).donated
    weights = sum(weight for _, weight in causes)
    for cause, weight in causes:
        assert abs(donated.get(cause, 0) * weights - nanos * weight) < weights


@exact
@given(NANOS, CHOICES.filter(lambda choice: choice.kind != EXCHANGE))
def test_without_an_open_cause_all_of_it_is_the_owners(nanos, choice):
    assert split(nanos, Choice(choice.kind, choice.donated_percent)).escrow == nanos


def test_the_left_over_unit_goes_to_who_lost_most():
    assert split(10, Choice(MISSION, 100, ((1, 1), (2, 1), (3, 1)))).donated == {1: 4, 2: 3, 3: 3}
    assert split(100, Choice(MISSION, 33, ((1, 2), (2, 1)))).donated == {1: 22, 2: 11}


@exact
@given(NANOS, st.integers(0, 1_000_000), CHOICES)
def test_fee_and_share_are_what_was_paid_at_any_terms(paid, share_ppm, choice):
    share = Terms(margin_ppm=0, owner_share_ppm=share_ppm).owner_nanos(paid)
    assert 0 <= share <= paid
    assert (paid - share) + split(share, choice).total == paid
