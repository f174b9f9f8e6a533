"""What settlement posts of an owner's share, and the lots that tell of it."""

import pytest
from django.db import connection

from billing.earnings import causes, programmes
from billing.earnings.models import Donation, Lot
from billing.repairs import refusal_of
from billing.settlement import settler
from common.money import NANOS_PER_USD
from ledger.invariants import reconcile
from ledger.models import Account, Transfer
from nodes.services import update_node
from tests.billing.conftest import record
from tests.billing.earnings.conftest import PRICE, SHARE

TEN = 10 * NANOS_PER_USD


def test_a_share_waits_in_escrow_and_its_lot_says_of_what(served, machine, rival, balances):
    served("req_1")
    served("req_2")
    assert balances() == {
        "acme wallet": TEN - 2 * PRICE, "promo": -TEN, "rival rewards_escrow": 2 * SHARE,
        "revenue": 2 * (PRICE - SHARE),
    }  # fmt: skip
    lot = Lot.objects.get()
    assert (lot.org, lot.target_id, lot.requests, lot.input_tokens, lot.output_tokens) == (
        rival, -machine.pk, 2, 2000, 1000,
    )  # fmt: skip
    assert (lot.paid, lot.earned, lot.escrow, lot.exchanged, lot.donated) == (2 * PRICE, 2 * SHARE, 2 * SHARE, 0, 0)


def test_exchange_becomes_tokens_at_once(served, chosen, balances):
    chosen(exchanged=100)
    served()
    assert balances() == {
        "acme wallet": TEN - PRICE, "promo": -TEN, "rival tokens": SHARE, "revenue": PRICE - SHARE,
    }  # fmt: skip
    assert sorted(Transfer.objects.exclude(kind="topup").values_list("business_id", "kind")) == [
        ("settlement:req_1", "settlement"),
        (f"split:settlement:req_1:{Lot.objects.get().org_id}:exchange", "exchange"),
    ]


def test_mission_gives_to_the_causes_by_weight_and_the_rest_is_the_owners(served, chosen, cause, balances):
    other = causes.add({"name": "Clean Water", "summary": "Digs wells."})
    chosen(donated=50, **{cause.slug: 2, other.slug: 1})
    served()
    given = SHARE // 2
    assert {account.reference: account.balance for account in _payables()} == {
        str(cause.pk): given * 2 // 3,
        str(other.pk): given - given * 2 // 3,
    }
    assert balances()["rival rewards_escrow"] == SHARE - given
    assert dict(Donation.objects.values_list("cause__slug", "nanos")) == {
        cause.slug: given * 2 // 3,
        other.slug: given - given * 2 // 3,
    }
    assert causes.totals()[cause.pk].given == given * 2 // 3
    assert [nanos for _, nanos in causes.per_month(cause)] == [given * 2 // 3]


def test_a_mix_goes_on_by_a_transfer_for_each_part_and_the_rest_waits(served, chosen, cause, rival, balances):
    chosen(exchanged=30, donated=20, **{cause.slug: 1})
    served("req_1")
    served("req_2")
    exchanged, given = 2 * SHARE * 30 // 100, 2 * SHARE * 20 // 100
    kept = {"rival tokens": exchanged, "rival rewards_escrow": 2 * SHARE - exchanged - given}
    assert kept.items() <= balances().items()
    assert causes.total_of(cause).given == given
    lot = Lot.objects.get()
    assert (lot.earned, lot.escrow, lot.exchanged, lot.donated) == (2 * SHARE, *list(kept.values())[::-1], given)
    split = Transfer.objects.filter(business_id__startswith="split:settlement:req_1:")
    assert sorted(split.values_list("business_id", "kind")) == [
        (f"split:settlement:req_1:{rival.pk}:{kind}", kind) for kind in ("donation", "exchange")
    ]


def test_what_goes_on_is_not_taken_back_by_hand_by_its_older_name_either(served, chosen, cause, rival):
    chosen(exchanged=30, donated=20, **{cause.slug: 1})
    served()
    of_today = Transfer.objects.filter(kind__in=("exchange", "donation"))
    of_before = [Transfer(business_id=f"split:settlement:req_1:{rival.pk}", kind="exchange")]
    assert len(of_today) == 2
    assert all("rerate" in refusal_of(transfer) for transfer in [*of_today, *of_before])
    assert refusal_of(Transfer(business_id=f"split:settlement:req_2:{rival.pk}:exchange", kind="exchange")) == ""


def test_of_a_mix_without_rewards_nothing_waits_however_it_rounds(wallet, used, machine, chosen, cause, balances):
    chosen(exchanged=50, donated=50, **{cause.slug: 1})
    for number in range(1, 6):
        odd = {"input_tokens": 1, "cached_tokens": 0, "output_tokens": number}
        record(used(f"req_{number}", target_id=-machine.pk, price_version=2, **odd))
    lot = Lot.objects.get()
    assert (lot.escrow, balances().get("rival rewards_escrow", 0)) == (0, 0)
    assert balances()["rival tokens"] + causes.total_of(cause).given == lot.earned


def test_what_a_closed_cause_would_get_of_a_mix_is_rewards(served, chosen, cause, balances):
    chosen(exchanged=50, donated=50, **{cause.slug: 1})
    causes.close(cause)
    served()
    assert (balances()["rival tokens"], balances()["rival rewards_escrow"]) == (SHARE // 2, SHARE // 2)
    assert causes.total_of(cause).given == 0


def test_a_closed_cause_gets_nothing_more(served, chosen, cause, balances):
    chosen(donated=100, **{cause.slug: 1})
    served("req_1")
    causes.close(cause)
    served("req_2")
    assert causes.total_of(cause).given == SHARE
    assert balances()["rival rewards_escrow"] == SHARE
    causes.reopen(cause)
    served("req_3")
    assert causes.total_of(cause).given == 2 * SHARE


def test_a_switch_counts_from_the_next_settled_request_on(wallet, used, machine, chosen, balances):
    hook = settler()
    sold = {"target_id": -machine.pk, "price_version": 2}
    record(used("req_1", **sold), hook=hook)
    chosen(exchanged=100)
    record(used("req_2", **sold), hook=hook)
    chosen()
    record(used("req_3", **sold), hook=hook)
    assert (balances()["rival rewards_escrow"], balances()["rival tokens"]) == (2 * SHARE, SHARE)
    lot = Lot.objects.get()
    assert (lot.earned, lot.escrow, lot.exchanged) == (3 * SHARE, 2 * SHARE, SHARE)


def test_the_owners_own_use_and_what_nobody_paid_earns_nothing(served, machine, rival, acme, used, balances):
    served("req_1", org_id=rival.pk)
    assert not Lot.objects.exists()
    served("req_2", input_tokens=20_000_000, cached_tokens=0)
    lot = Lot.objects.get()
    assert (lot.paid, lot.earned) == (TEN, TEN * 7 // 10)


def test_one_batch_of_many_owners_and_callers(wallet, used, machine, chosen, fund, rival, sold, balances):
    chosen(exchanged=100)
    fund(rival, TEN)
    guest = {"target_id": -machine.pk, "price_version": 2}
    record(
        used("req_1", **guest), used("req_2"), used("req_3", org_id=rival.pk), used("req_4", **guest),
        used("req_5", org_id=rival.pk, **guest),
    )  # fmt: skip
    assert balances()["rival tokens"] == 2 * SHARE
    assert Lot.objects.get().requests == 2


@pytest.mark.parametrize("exchanged", [0, 33, 75])
def test_the_preview_is_what_settlement_does(served, chosen, cause, rival, exchanged):
    chosen(exchanged=exchanged, donated=25, **{cause.slug: 1})
    shown = programmes.preview(programmes.choice_of(programmes.programme_of(rival)), PRICE)
    served()
    lot = Lot.objects.get()
    assert (shown.paid, shown.fee, shown.share.escrow, shown.share.exchanged, sum(shown.share.donated.values())) == (
        lot.paid, lot.paid - lot.earned, lot.escrow, lot.exchanged, lot.donated,
    )  # fmt: skip


def test_a_new_price_counts_from_the_next_request_on_and_not_for_those_under_way(
    wallet, used, machine, as_mallory, balances
):
    hook, sold = settler(), {"target_id": -machine.pk}
    record(used("req_1", price_version=2, **sold), hook=hook)
    prices = {"upstream_id": machine.upstream_id, "input_price": "2", "output_price": "8"}
    update_node(machine.node, as_mallory, {"models": [prices]})
    record(used("req_2", price_version=2, **sold), used("req_3", price_version=3, **sold), hook=hook)
    assert balances()["acme wallet"] == TEN - 4 * PRICE
    assert Lot.objects.get().earned == 4 * SHARE


@pytest.mark.breaks_invariants
@pytest.mark.parametrize(
    "fault",
    [
        "UPDATE earnings_lot SET earned = earned + 1, escrow = escrow + 1",
        "UPDATE earnings_lot SET matured = 1",
        "UPDATE earnings_lot SET paid = 0",
        "DELETE FROM earnings_donation; DELETE FROM earnings_lot",
        "UPDATE earnings_donation SET nanos = nanos + 1",
        "UPDATE earnings_lot SET exchanged = exchanged + 1, donated = donated - 1",
    ],
)
def test_reconcile_finds_a_planted_fault(served, chosen, cause, fault):
    chosen(exchanged=25, donated=50, **{cause.slug: 1})
    served()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute(fault)
    assert {finding.invariant for finding in reconcile()} == {"I9"}


def _payables():
    return Account.objects.filter(kind="ngo_payable")
