import pytest

from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.errors import BusinessIdReused, InvalidTransfer, NotCovered, NotReversible
from ledger.models import Entry, Transfer
from ledger.transfers import post, reverse

USD = 1_000_000_000


def test_money_moves_and_every_entry_tells_the_balance_after_it(topped_up, clearing, revenue, stands):
    post(Draft("call:1", "usage", {topped_up.pk: -3, revenue.pk: 3}, price_version=7, reason="one call"))
    assert stands(topped_up) == (10 * USD - 3, 0)
    assert stands(revenue) == (3, 0)
    assert stands(clearing) == (-10 * USD, 0)
    entries = Entry.objects.filter(account=topped_up).order_by("id").values_list("amount", "balance_after")
    assert list(entries) == [(10 * USD, 10 * USD), (-3, 10 * USD - 3)]
    assert Transfer.objects.get(business_id="call:1").price_version == 7


def test_a_replay_returns_the_earlier_transfer_and_moves_nothing(topped_up, revenue, stands):
    draft = Draft("call:1", "usage", {topped_up.pk: -3, revenue.pk: 3})
    first, again = post(draft), post(draft)
    assert (first.is_new, again.is_new, again.id) == (True, False, first.id)
    assert stands(revenue) == (3, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"reason": "other"},
        {"price_version": 2},
    ],
)
def test_the_same_id_with_other_content_is_refused(topped_up, revenue, stands, change):
    said = {"business_id": "call:1", "kind": "usage", "moves": {topped_up.pk: -3, revenue.pk: 3}}
    post(Draft(**said))
    with pytest.raises(BusinessIdReused):
        post(Draft(**said | change))
    with pytest.raises(BusinessIdReused):
        post(Draft(**said | {"moves": {topped_up.pk: -4, revenue.pk: 4}}))
    assert stands(revenue) == (3, 0)


def test_a_prepaid_account_gives_what_it_has_and_no_more(topped_up, revenue, stands):
    with pytest.raises(NotCovered) as refused:
        post(Draft("call:1", "usage", {topped_up.pk: -10 * USD - 1, revenue.pk: 10 * USD + 1}))
    assert (refused.value.status, refused.value.account_id) == (402, topped_up.pk)
    assert not Transfer.objects.filter(business_id="call:1").exists()
    post(Draft("call:1", "usage", {topped_up.pk: -10 * USD, revenue.pk: 10 * USD}))
    assert stands(topped_up) == (0, 0)


@pytest.mark.parametrize("amount", [0, 1.0, True, "1", None, 2**63, -(2**63)])
def test_amounts_are_whole_and_fit(amount):
    with pytest.raises(InvalidTransfer):
        Draft("x", "usage", {1: amount, 2: 1})


@pytest.mark.parametrize(
    "said",
    [
        {"business_id": ""},
        {"kind": ""},
        {"moves": {1: 1}},
        {"moves": {}},
        {"reason": "a\nb"},
        {"business_id": "x" * 201},
        {"reason": "\0"},
    ],
)
def test_what_a_transfer_has_to_say(said):
    with pytest.raises(InvalidTransfer):
        Draft(**{"business_id": "x", "kind": "usage", "moves": {1: -1, 2: 1}} | said)


def test_entries_sum_to_zero_in_each_currency(acme, clearing, wallet):
    tokens = ensure_account(kinds.TOKENS, acme, currency="TOK")
    with pytest.raises(InvalidTransfer):
        post(Draft("x", "usage", {clearing.pk: -2, wallet.pk: 1}))
    with pytest.raises(InvalidTransfer):
        post(Draft("x", "exchange", {clearing.pk: -1, tokens.pk: 1}))
    assert not Transfer.objects.exists()


def test_an_account_that_is_not_there(wallet, clearing):
    with pytest.raises(InvalidTransfer):
        post(Draft("x", "usage", {clearing.pk: -1, 2**40: 1}))


def test_a_balance_beyond_64_bits_is_refused(clearing, revenue):
    most = 2**63 - 1
    post(Draft("x", "usage", {clearing.pk: -most, revenue.pk: most}))
    with pytest.raises(InvalidTransfer):
        post(Draft("y", "usage", {clearing.pk: -1, revenue.pk: 1}))


def test_a_transfer_is_taken_back_by_its_opposite_once(topped_up, revenue, stands):
    post(Draft("call:1", "usage", {topped_up.pk: -3, revenue.pk: 3}, price_version=7))
    back = reverse("call:1", "charged twice")
    assert stands(topped_up) == (10 * USD, 0)
    assert reverse("call:1", "charged twice").id == back.id
    with pytest.raises(NotReversible):
        reverse("call:1", "another reason")
    with pytest.raises(NotReversible):
        reverse(back.business_id, "back again")
    assert Transfer.objects.get(pk=back.id).reverses.business_id == "call:1"
    assert stands(revenue) == (0, 0)


def test_what_was_spent_cannot_be_taken_back(topped_up, revenue):
    post(Draft("call:1", "usage", {topped_up.pk: -10 * USD, revenue.pk: 10 * USD}))
    with pytest.raises(NotCovered):
        reverse("topup:first", "disputed")


def test_an_unknown_transfer_is_not_reversed(db):
    with pytest.raises(InvalidTransfer):
        reverse("nothing", "why")


def test_each_account_is_opened_once_and_belongs_to_whom_its_kind_says(acme, rival):
    assert ensure_account(kinds.REVENUE) == ensure_account(kinds.REVENUE)
    assert ensure_account(kinds.WALLET, acme) == ensure_account(kinds.WALLET, acme)
    assert ensure_account(kinds.WALLET, acme) != ensure_account(kinds.WALLET, rival)
    assert ensure_account(kinds.BUDGET, acme, reference="key:1") != ensure_account(kinds.BUDGET, acme)
    with pytest.raises(InvalidTransfer):
        ensure_account(kinds.WALLET)
    with pytest.raises(InvalidTransfer):
        ensure_account(kinds.REVENUE, acme)
