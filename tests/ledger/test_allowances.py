import pytest

from ledger.allowances import (
    ASK_AGAIN_AFTER_S,
    IDLE_S,
    SLICE_OF_ESTIMATES,
    VALID_S,
    Allowances,
    Ask,
    Reservation,
    Return,
    Shortage,
)

WALLET, BUDGET, KEY = 1, 2, 3


def leased(amounts: dict[int, int], now_s: float = 0.0) -> Allowances:
    allowances = Allowances(now_s)
    for account, amount in amounts.items():
        allowances.granted(Ask(account, amount, amount), amount, now_s)
    return allowances


def test_all_scopes_are_reserved_or_none():
    allowances = leased({WALLET: 10, BUDGET: 10, KEY: 3})
    refused = allowances.reserve({WALLET: 5, BUDGET: 5, KEY: 5}, 0.0)
    assert refused == Shortage({KEY: 2})
    assert [allowances.free(id) for id in (WALLET, BUDGET, KEY)] == [10, 10, 3]
    assert isinstance(allowances.reserve({WALLET: 3, BUDGET: 3, KEY: 3}, 0.0), Reservation)
    assert [allowances.free(id) for id in (WALLET, BUDGET, KEY)] == [7, 7, 0]


def test_what_a_request_did_not_cost_is_free_again_once():
    allowances = leased({WALLET: 10})
    reservation = allowances.reserve({WALLET: 10}, 0.0)
    assert reservation.close({WALLET: 4}, 0.0) == {WALLET: 4}
    assert reservation.close({WALLET: 4}, 0.0) == {}
    assert allowances.free(WALLET) == 6


@pytest.mark.parametrize(("actual", "charge"), [(11, 10), (10**18, 10), (-1, 0), (0, 0)])
def test_a_charge_stays_within_what_was_reserved(actual, charge):
    reservation = leased({WALLET: 10}).reserve({WALLET: 10}, 0.0)
    assert reservation.close({WALLET: actual}, 0.0) == {WALLET: charge}


def test_a_request_that_is_short_asks_for_exactly_what_it_lacks_at_least():
    allowances = leased({WALLET: 4})
    allowances.reserve({WALLET: 10}, 0.0)
    assert allowances.errands(0.0) == [Ask(WALLET, wanted=10 * SLICE_OF_ESTIMATES - 4, at_least=6)]
    assert allowances.errands(0.0) == []  # it is being asked


def test_more_is_asked_for_before_it_runs_out():
    allowances = Allowances(0.0)
    allowances.reserve({WALLET: 10}, 0.0)
    (ask,) = allowances.errands(0.0)
    allowances.granted(ask, ask.wanted, 0.0)
    while allowances.free(WALLET) >= 5 * SLICE_OF_ESTIMATES:
        assert allowances.errands(0.0) == []
        assert isinstance(allowances.reserve({WALLET: 10}, 0.0), Reservation)
    (ask,) = allowances.errands(0.0)
    assert ask.at_least == 10
    assert isinstance(allowances.reserve({WALLET: 10}, 0.0), Reservation)


def test_small_requests_between_large_ones_do_not_send_the_slice_to_and_fro():
    allowances = leased({WALLET: 32_000})
    for _ in range(8):
        for bound in (1000, 1):
            allowances.reserve({WALLET: bound}, 0.0).close({}, 0.0)
            assert allowances.errands(0.0) == []


def test_a_refusal_is_not_followed_by_asking_on_and_on():
    allowances = leased({WALLET: 20})
    allowances.reserve({WALLET: 10}, 0.0)
    (ask,) = allowances.errands(0.0)
    allowances.granted(ask, 0, 0.0)
    assert allowances.errands(0.0) == []
    assert allowances.errands(ASK_AGAIN_AFTER_S) == [ask]


def test_a_request_that_is_short_asks_even_after_a_refusal():
    allowances = leased({WALLET: 4})
    allowances.reserve({WALLET: 10}, 0.0)
    (ask,) = allowances.errands(0.0)
    allowances.granted(ask, 0, 0.0)
    allowances.reserve({WALLET: 10}, 0.0)
    assert allowances.errands(0.0) == [ask]


def test_what_is_idle_goes_back_and_what_is_reserved_stays():
    allowances = leased({WALLET: 1000})
    allowances.reserve({WALLET: 10}, 1.0)
    assert allowances.errands(1.0 + IDLE_S) == [Return(WALLET, 990)]
    assert allowances.errands(1.0 + IDLE_S) == []


def test_what_is_more_than_two_slices_goes_back():
    allowances = leased({WALLET: 10_000})
    allowances.reserve({WALLET: 10}, 0.0)
    assert allowances.errands(0.0) == [Return(WALLET, 9_990 - 10 * SLICE_OF_ESTIMATES)]


def test_a_recall_gives_back_what_is_not_reserved():
    allowances = leased({WALLET: 100})
    allowances.reserve({WALLET: 10}, 0.0)
    assert allowances.recalled(WALLET) == Return(WALLET, 90)
    assert allowances.recalled(WALLET) is None
    assert allowances.recalled(BUDGET) is None


def test_nothing_is_spent_when_postgresql_was_silent_too_long():
    allowances = leased({WALLET: 100})
    assert isinstance(allowances.reserve({WALLET: 1}, VALID_S - 0.01), Reservation)
    assert allowances.reserve({WALLET: 1}, VALID_S) == Shortage({}, is_stale=True)
    allowances.renewed(VALID_S)
    assert isinstance(allowances.reserve({WALLET: 1}, VALID_S), Reservation)


def test_what_was_lost_is_not_spent_not_even_by_what_comes_back():
    allowances = leased({WALLET: 100})
    reservation = allowances.reserve({WALLET: 10}, 0.0)
    allowances.lost()
    assert reservation.close({WALLET: 4}, 0.0) == {WALLET: 4}
    assert allowances.reserve({WALLET: 1}, 0.0) == Shortage({WALLET: 1})


def test_a_request_that_costs_nothing_needs_no_lease():
    allowances = Allowances(0.0)
    assert isinstance(allowances.reserve({WALLET: 0}, 0.0), Reservation)
    assert allowances.errands(0.0) == []


def test_a_negative_bound_is_refused():
    with pytest.raises(ValueError, match="not negative"):
        Allowances(0.0).reserve({WALLET: -1}, 0.0)
