"""Every unit of a share goes somewhere, once; never less than nothing."""

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from billing.earnings.splitting import Choice, split
from billing.terms import Terms

NANOS = st.integers(0, 10**18)
CAUSES = st.lists(st.integers(1, 100), max_size=6).map(lambda weights: tuple(enumerate(weights, start=1)))


@st.composite
def choices(draw, causes=CAUSES) -> Choice:
    donated = draw(st.just(0) | st.integers(10, 100))
    exchanged = draw(st.integers(0, 100 - donated) | st.just(100 - donated))
    return Choice(exchanged, donated, draw(causes))


exact = settings(suppress_health_check=[HealthCheck.too_slow])


@exact
@given(NANOS, choices())
def test_the_parts_sum_to_the_share_and_none_is_negative(nanos, choice):
    parts = split(nanos, choice)
    assert parts.total == nanos
    assert parts.escrow >= 0
    assert parts.exchanged >= 0
    assert all(part > 0 for part in parts.donated.values())


@exact
@given(NANOS, choices(CAUSES.filter(bool)))
def test_what_is_given_is_the_percentage_rounded_down_once_whatever_is_exchanged(nanos, choice):
    assert sum(split(nanos, choice).donated.values()) == nanos * choice.donated_percent // 100


@exact
@given(NANOS, choices())
def test_what_is_exchanged_is_rounded_down_where_anything_is_left_for_rewards(nanos, choice):
    given = choice.donated_percent if choice.causes else 0
    assume(choice.exchanged_percent + given < 100)
    assert split(nanos, choice).exchanged == nanos * choice.exchanged_percent // 100


@exact
@given(NANOS, choices(CAUSES.filter(bool)))
def test_nothing_waits_in_escrow_of_who_wants_no_rewards(nanos, choice):
    whole = Choice(100 - choice.donated_percent, choice.donated_percent, choice.causes)
    assert split(nanos, whole).escrow == 0


@exact
@given(NANOS, choices(CAUSES.filter(bool)))
def test_each_part_is_its_percentage_within_one_unit(nanos, choice):
    parts = split(nanos, choice)
    rewards = 100 - choice.exchanged_percent - choice.donated_percent
    shown = (parts.exchanged, choice.exchanged_percent), (sum(parts.donated.values()), choice.donated_percent)
    assert all(abs(part * 100 - nanos * percent) < 100 for part, percent in shown)
    assert abs(parts.escrow * 100 - nanos * rewards) < 200  # both roundings end here


@exact
@given(NANOS, CAUSES.filter(bool))
def test_each_cause_gets_its_weight_within_one_unit(nanos, causes):
    donated = split(nanos, Choice(0, 100, causes)).donated
    weights = sum(weight for _, weight in causes)
    for cause, weight in causes:
        assert abs(donated.get(cause, 0) * weights - nanos * weight) < weights


@exact
@given(NANOS, choices())
def test_without_an_open_cause_what_would_be_given_is_rewards(nanos, choice):
    parts = split(nanos, Choice(choice.exchanged_percent, choice.donated_percent))
    assert not parts.donated
    assert parts.exchanged == nanos * choice.exchanged_percent // 100
    assert parts.escrow == nanos - parts.exchanged


def test_the_left_over_unit_goes_to_who_lost_most():
    assert split(10, Choice(0, 100, ((1, 1), (2, 1), (3, 1)))).donated == {1: 4, 2: 3, 3: 3}
    assert split(100, Choice(0, 33, ((1, 2), (2, 1)))).donated == {1: 22, 2: 11}


def test_what_roundings_leave_is_rewards_or_else_tokens():
    one = ((1, 1),)
    assert split(101, Choice(25, 25, one)).donated == {1: 25}
    assert (split(101, Choice(25, 25, one)).exchanged, split(101, Choice(25, 25, one)).escrow) == (25, 51)
    assert (split(1, Choice(50, 50, one)).exchanged, split(1, Choice(50, 50, one)).escrow) == (1, 0)
    assert split(1, Choice(99)).escrow == 1


@exact
@given(NANOS, st.integers(0, 1_000_000), choices())
def test_fee_and_share_are_what_was_paid_at_any_terms(paid, share_ppm, choice):
    share = Terms(margin_ppm=0, owner_share_ppm=share_ppm).owner_nanos(paid)
    assert 0 <= share <= paid
    assert (paid - share) + split(share, choice).total == paid
