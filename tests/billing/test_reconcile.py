"""What settlement, payments and payouts must agree with the ledger about: each disagreement is found, and named."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from billing import freezing
from billing.models import Payee, Payout, TopUp, Unsettled
from billing.settlement import IMPLAUSIBLE
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.invariants import all_invariants, reconcile
from ledger.models import Account
from ledger.transfers import post, reverse
from tests.billing.conftest import COST, record
from tests.billing.payees import DOLLAR, earn


def found() -> set[tuple[str, str]]:
    return {(finding.invariant, finding.detail) for finding in reconcile()}


def plant(*statements: str) -> None:
    """Behind the ledger's back: with its triggers off, and with none of its bounds on accounts."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        for table in ("billing_charge", "ledger_entry", "ledger_transfer"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)


def test_all_ten_are_proven():
    assert {invariant.name for invariant in all_invariants()} == {f"I{number}" for number in range(1, 11)}


@pytest.mark.breaks_invariants
def test_a_request_that_is_settled_and_set_aside(wallet, used):
    record(used())
    Unsettled.objects.create(
        request_id="req_1", started_at=timezone.now(), org_id=wallet.org_id, target_id=1, reason=IMPLAUSIBLE
    )
    assert found() == {("I5", "both charged and unsettled")}


@pytest.mark.breaks_invariants
def test_a_correction_of_what_was_never_settled(wallet, used):
    record(used())
    plant("UPDATE billing_charge SET revision = 1")
    assert ("I5", "settled 0 times") in found()


@pytest.mark.breaks_invariants
def test_a_request_that_was_never_settled(wallet, used):
    record(used(cost_nanos=COST))
    plant("DELETE FROM billing_charge")
    assert any(detail.endswith("was neither charged nor set aside") for name, detail in found() if name == "I7")


def test_a_settlement_of_nothing_is_found_and_mended_by_its_reversal(wallet):
    revenue = ensure_account(kinds.REVENUE)
    post(Draft("settlement:req_x", "settlement", {wallet.pk: -7, revenue.pk: 7}))
    assert found() == {("I7", "its charges sum to 0, it took 7")}
    reverse("settlement:req_x", "Found by reconcile: I7")
    assert found() == set()


def credited(org, payment: str, cents: int) -> None:
    wallet, clearing = ensure_account(kinds.WALLET, org), ensure_account(kinds.STRIPE_CLEARING)
    nanos = cents * 10_000_000
    post(Draft(f"topup:{payment}", "stripe_topup", {clearing.pk: -nanos, wallet.pk: nanos}))


def test_a_credit_that_nobody_paid_is_found_and_mended_by_its_reversal(acme):
    credited(acme, "pi_1", 2000)
    assert found() == {("I8", "no top-up was paid by it")}
    reverse("topup:pi_1", "Found by reconcile: I8")
    assert found() == set()


@pytest.mark.breaks_invariants
@pytest.mark.parametrize("cents", [0, 1000, 3000])
def test_a_payment_that_was_credited_otherwise_is_found(acme, cents):
    if cents:
        credited(acme, "pi_1", cents)
    TopUp.objects.create(
        org=acme, public_id="top_1", cents=2000, state=TopUp.PAID, payment_id="pi_1", received_cents=2000,
        paid_at=timezone.now(),
    )  # fmt: skip
    assert found() == {("I8", f"received 2000 cents, credited nano-USD {cents * 10_000_000}")}


@pytest.fixture
def waiting(acme):
    """A payout of $40 that is frozen."""
    earn(acme, 40 * DOLLAR)
    Payee.objects.create(org=acme, method=Payee.STRIPE, stripe_id="acct_1", state=Payee.READY, country="TH")
    return freezing.freeze_month("2026-11").payouts.get()


@pytest.mark.breaks_invariants
def test_a_payout_whose_money_is_not_held(waiting):
    Payout.objects.update(cents=waiting.cents - 1)
    assert found() == {("I9", "its money is not held")}


@pytest.mark.breaks_invariants
def test_a_payout_of_which_more_came_back_than_was_posted(waiting):
    Payout.objects.update(reversed_cents=5)
    assert found() == {("I9", "sent back 5 cents, posted nano-USD 0")}


def test_a_posting_without_a_payout_is_found_and_mended_by_its_reversal(acme):
    earn(acme, 40 * DOLLAR)
    rewards, clearing = ensure_account(kinds.REWARDS_AVAILABLE, acme), ensure_account(kinds.STRIPE_CLEARING)
    post(Draft("payout:po_x", "payout", {rewards.pk: -7, clearing.pk: 7}))
    assert found() == {("I9", "no payout was confirmed for it")}
    reverse("payout:po_x", "Found by reconcile: I9")
    assert found() == set()


@pytest.mark.breaks_invariants
def test_payouts_of_more_than_what_matured(acme):
    earn(acme, 40 * DOLLAR)
    rewards, clearing = ensure_account(kinds.REWARDS_AVAILABLE, acme), ensure_account(kinds.STRIPE_CLEARING)
    post(Draft("payout:po_x", "payout", {rewards.pk: -7, clearing.pk: 7}))
    plant(f"UPDATE ledger_entry SET amount = -{41 * DOLLAR} WHERE amount = -7")
    assert ("I9", f"paid out {41 * DOLLAR}, matured {40 * DOLLAR}") in found()
    assert Account.objects.get(pk=rewards.pk).balance == 40 * DOLLAR - 7


@pytest.mark.parametrize("kind", ["maturity", "payout_reversed"])
def test_a_stray_movement_of_earnings_is_found_and_mended_by_its_reversal(acme, waiting, kind):
    rewards, revenue = ensure_account(kinds.REWARDS_AVAILABLE, acme), ensure_account(kinds.REVENUE)
    post(Draft("stray:1", kind, {rewards.pk: 7, revenue.pk: -7}, reason=waiting.public_id))
    assert {name for name, _ in found()} == {"I9"}
    reverse("stray:1", "Found by reconcile: I9")
    assert found() == set()
