import pytest

from ledger import holds
from ledger.drafts import Draft
from ledger.errors import BusinessIdReused, HoldEnded, InvalidTransfer, NotCovered
from ledger.transfers import post

USD = 1_000_000_000


def taken(wallet, revenue, amount, business_id="payout:1"):
    return Draft(business_id, "usage", {wallet.pk: -amount, revenue.pk: amount})


def test_what_is_held_cannot_be_spent(topped_up, revenue, stands):
    holds.reserve("hold:1", topped_up.pk, 6 * USD)
    assert stands(topped_up) == (10 * USD, 6 * USD)
    with pytest.raises(NotCovered):
        holds.reserve("hold:2", topped_up.pk, 4 * USD + 1)
    with pytest.raises(NotCovered):
        post(taken(topped_up, revenue, 4 * USD + 1))
    post(taken(topped_up, revenue, 4 * USD))
    assert stands(topped_up) == (6 * USD, 6 * USD)


def test_reserving_again_changes_nothing_and_another_hold_needs_another_id(topped_up, stands):
    first = holds.reserve("hold:1", topped_up.pk, 5)
    assert holds.reserve("hold:1", topped_up.pk, 5) == first
    with pytest.raises(BusinessIdReused):
        holds.reserve("hold:1", topped_up.pk, 6)
    assert stands(topped_up) == (10 * USD, 5)


def test_a_capture_takes_part_and_frees_the_rest_once(topped_up, revenue, stands):
    holds.reserve("hold:1", topped_up.pk, 10 * USD)
    draft = taken(topped_up, revenue, 4 * USD)
    posted = holds.capture("hold:1", draft)
    assert holds.capture("hold:1", draft).id == posted.id
    assert stands(topped_up) == (6 * USD, 0)
    with pytest.raises(HoldEnded):
        holds.release("hold:1")
    with pytest.raises(HoldEnded):
        holds.capture("hold:1", taken(topped_up, revenue, 1, "payout:2"))
    assert stands(topped_up) == (6 * USD, 0)


def test_a_capture_takes_no_more_than_was_held(topped_up, revenue, stands):
    holds.reserve("hold:1", topped_up.pk, 4)
    with pytest.raises(InvalidTransfer):
        holds.capture("hold:1", taken(topped_up, revenue, 5))
    with pytest.raises(InvalidTransfer):
        holds.capture("hold:1", Draft("payout:1", "usage", {topped_up.pk: 4, revenue.pk: -4}))
    assert stands(topped_up) == (10 * USD, 4)


def test_a_release_frees_all_once(topped_up, revenue, stands):
    holds.reserve("hold:1", topped_up.pk, 4)
    assert holds.release("hold:1").ended_at == holds.release("hold:1").ended_at
    with pytest.raises(HoldEnded):
        holds.capture("hold:1", taken(topped_up, revenue, 4))
    assert stands(topped_up) == (10 * USD, 0)


@pytest.mark.parametrize("amount", [0, -1, 1.0, True, 2**63])
def test_what_can_be_held(wallet, amount):
    with pytest.raises(InvalidTransfer):
        holds.reserve("hold:1", wallet.pk, amount)


def test_a_hold_that_is_not_there(wallet, revenue):
    with pytest.raises(InvalidTransfer):
        holds.release("hold:1")
    with pytest.raises(InvalidTransfer):
        holds.capture("hold:1", taken(wallet, revenue, 1))
