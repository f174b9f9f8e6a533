"""Money out: held when it is frozen, sent once, posted when Stripe has confirmed it, and never lost."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from django.core import mail
from django.utils import timezone

from accounts.errors import InvalidField
from accounts.models import AuditEvent
from billing import events, freezing, payees, payouts, tasks
from billing.errors import PaymentsOff, PayoutRefused
from billing.models import Payee, Payout
from demo.payments import connect
from demo.payments.state import Object
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.errors import NotCovered
from ledger.invariants import reconcile
from ledger.models import Account, Transfer
from ledger.transfers import post
from tests.billing.payees import DOLLAR, account_at, earn
from tests.billing.test_payments import deliver, deliver_all
from tests.fakes.payments import KEY, SECRET, PaymentDouble

PERIOD = "2026-11"


@pytest.fixture
def double(settings):
    with PaymentDouble() as double:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
        settings.STRIPE_BASE_URL = double.url
        yield double


@pytest.fixture
def earned(acme, double) -> Payee:
    """Acme has $40.005 matured and an account that takes transfers."""
    earn(acme, 40 * DOLLAR + 5_000_000)
    return account_at(double, acme)


def send_all(rounds: int = 1) -> None:
    for _ in range(rounds):
        payouts.send_due(now=timezone.now() + timedelta(days=1))


def faults_of(double: PaymentDouble, *faults: str) -> None:
    """What goes wrong with each transfer that is asked for, one after the other; then nothing."""
    left = list(faults)

    def fault(path: str, given: Object) -> str:
        return left.pop(0) if path == "transfers" and left else ""

    double.state.faults = fault


def transfers_of(double: PaymentDouble) -> list[int]:
    return [one["amount"] for one in double.state.of("transfer")]


def test_a_month_is_frozen_sent_and_posted_once(earned, double, balances, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(2):
            freezing.freeze_month(PERIOD)
            send_all()
    payout = Payout.objects.get()
    assert (payout.state, payout.cents, payout.attempts) == (Payout.PAID, 4000, 1)
    assert payout.reference == double.state.of("transfer")[0]["id"]
    assert double.state.of("transfer")[0]["transfer_group"] == payout.public_id
    assert balances() == {
        "acme rewards_available": 5_000_000, "promo": -40 * DOLLAR - 5_000_000, "stripe_clearing": 40 * DOLLAR,
    }  # fmt: skip
    assert Transfer.objects.get(kind="payout").business_id == f"payout:{payout.public_id}"
    assert AuditEvent.objects.of(earned.org).filter(action="payout.frozen").count() == 1
    assert "$40.00" in mail.outbox[0].subject


def test_who_changes_the_destination_while_the_month_is_frozen_waits_for_the_next(acme, rival, as_alice, as_mallory):
    bank = payees.Bank("Acme Ltd", "TH00 1234 5678 9012", "Bangkok Bank BKKBTHBK")
    for organization, actor in ((acme, as_alice), (rival, as_mallory)):
        earn(organization, 40 * DOLLAR)
        payees.set_bank(organization, actor, bank)
        payees.verify(organization, actor, is_right=True)

    def meanwhile(mark: str) -> None:
        if mark == "frozen one" and not Payout.objects.of(rival).exists():
            payees.set_bank(rival, as_mallory, payees.Bank("Mallory", "TH66 6666", "Elsewhere"))

    freezing.freeze_month(PERIOD, at=meanwhile)
    assert [payout.org for payout in Payout.objects.all()] == [acme]


def test_what_is_frozen_is_held(earned, double):
    freezing.freeze_month(PERIOD)
    account = Account.objects.of(earned.org).get(kind=kinds.REWARDS_AVAILABLE)
    assert (account.balance, account.held) == (40 * DOLLAR + 5_000_000, 40 * DOLLAR)
    with pytest.raises(NotCovered):
        post(Draft("claw:1", "claw", {account.pk: -DOLLAR, ensure_account(kinds.REVENUE).pk: DOLLAR}))


@pytest.mark.parametrize(
    ("faults", "rounds"),
    [
        (["cut"], 2),  # done, and the answer was lost
        (["pruned"], 2),  # the same, and Stripe has forgotten the idempotency key
        (["500"], 2),  # not done; the 500 is remembered under the key until that is forgotten
        (["cut", "cut", "pruned"], 4),
    ],
)
def test_an_unknown_outcome_is_looked_up_before_anything_is_sent_again(earned, double, faults, rounds):
    faults_of(double, *faults)
    freezing.freeze_month(PERIOD)
    send_all()
    payout = Payout.objects.get()
    assert payout.state == Payout.SENDING
    assert not Transfer.objects.filter(kind="payout").exists()
    double.forget_keys()
    send_all(rounds - 1)
    payout.refresh_from_db()
    assert payout.state == Payout.PAID
    assert transfers_of(double) == [4000]


def test_a_remembered_500_is_not_taken_for_an_answer(earned, double):
    faults_of(double, "500")
    freezing.freeze_month(PERIOD)
    send_all(3)
    assert Payout.objects.get().state == Payout.SENDING
    assert transfers_of(double) == []


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_to_be_asked_says_nothing_of_the_transfer(earned, double, balances, status):
    faults_of(double, "cut")
    freezing.freeze_month(PERIOD)
    send_all()
    double.state.refuse_lists = status
    send_all(2)
    payout = Payout.objects.get()
    assert (payout.state, payout.attempts, transfers_of(double)) == (Payout.SENDING, 3, [4000])
    assert freezing.payable_cents(earned.org) == 0
    double.state.refuse_lists = 0
    send_all()
    payout.refresh_from_db()
    assert (payout.state, transfers_of(double)) == (Payout.PAID, [4000])
    assert balances()["stripe_clearing"] == 40 * DOLLAR


def test_it_waits_for_the_next_attempt(earned, double):
    faults_of(double, "cut")
    freezing.freeze_month(PERIOD)
    payouts.send_due()
    assert payouts.send_due() == 1
    payout = Payout.objects.get()
    assert (payout.attempts, payout.next_attempt_at > timezone.now()) == (1, True)


def test_while_the_platform_has_too_little_it_waits_and_is_sent_later(earned, double):
    double.state.funds_cents = 100
    freezing.freeze_month(PERIOD)
    send_all(2)
    payout = Payout.objects.get()
    assert (payout.state, payout.reason) == (Payout.WAITING, payouts.LACKS_FUNDS)
    double.state.funds_cents = 5000
    send_all()
    payout.refresh_from_db()
    assert (payout.state, payout.reason) == (Payout.PAID, "")
    assert transfers_of(double) == [4000]


def test_a_destination_that_is_not_verified_any_more_leaves_the_money_where_it_is(earned, double, balances, acme):
    freezing.freeze_month(PERIOD)
    connect.set_status(double.state, str(earned.stripe_id), connect.RESTRICTED)
    send_all()
    payout = Payout.objects.get()
    assert (payout.state, payout.reason) == (Payout.RETURNED, payouts.NOT_VERIFIED)
    assert balances()["acme rewards_available"] == 40 * DOLLAR + 5_000_000
    assert freezing.payable_cents(acme) == 4000
    earned.refresh_from_db()
    assert earned.state == Payee.INCOMPLETE
    assert freezing.freeze_month("2026-12").payouts.count() == 0


def test_only_who_is_verified_and_has_enough_is_paid_by_the_month(acme, rival, double):
    earn(acme, 24 * DOLLAR)
    account_at(double, acme)
    earn(rival, 60 * DOLLAR)
    account_at(double, rival, connect.RESTRICTED)
    Payee.objects.of(rival).update(state=Payee.INCOMPLETE)
    assert freezing.freeze_month(PERIOD).payouts.count() == 0


def test_one_asks_for_a_payout(earned, as_alice, acme, double):
    payout = freezing.request(acme, as_alice)
    with pytest.raises(PayoutRefused) as refusal:
        freezing.request(acme, as_alice)
    assert refusal.value.reason == freezing.ONE_IS_OPEN
    send_all()
    payout.refresh_from_db()
    assert (payout.state, payout.asked_by) == (Payout.PAID, as_alice.label)
    with pytest.raises(PayoutRefused) as refusal:
        freezing.request(acme, as_alice)
    assert refusal.value.reason == freezing.TOO_LITTLE


def test_without_a_verified_destination_it_is_explained(acme, as_alice, double):
    earn(acme, 40 * DOLLAR)
    with pytest.raises(PayoutRefused) as refusal:
        freezing.request(acme, as_alice)
    assert refusal.value.reason == freezing.NO_DESTINATION
    payees.onboard(acme, as_alice, "TH", "alice@acme.test")
    with pytest.raises(PayoutRefused) as refusal:
        freezing.request(acme, as_alice)
    assert refusal.value.reason == freezing.NOT_VERIFIED
    assert freezing.payable_cents(acme) == 4000


def test_the_onboarding_makes_it_ready(acme, as_alice, double):
    page = payees.onboard(acme, as_alice, "th", "alice@acme.test")
    assert payees.look_again(acme).state == Payee.INCOMPLETE
    httpx.post(page, data={"act": "finish"})
    assert payees.look_again(acme).state == Payee.READY
    again = payees.onboard(acme, as_alice, "th", "alice@acme.test")
    assert again != page
    assert len(double.state.objects["account"]) == 1
    assert AuditEvent.objects.of(acme).filter(action=payees.ACTION).count() == 2


@pytest.fixture
def handed_in(acme, as_alice, double) -> str:
    """Acme has told Stripe who it is, came back from there, and Stripe takes its time."""
    httpx.post(payees.onboard(acme, as_alice, "th", "alice@acme.test"), data={"act": "hand_in"})
    found = payees.look_again(acme)
    assert (found.state, found.problem) == (Payee.INCOMPLETE, "requirements_pending_verification")
    return found.stripe_id


def test_what_stripe_verifies_later_is_found_by_a_round(acme, handed_in, double):
    assert payees.look_at_incomplete() == 0
    connect.set_status(double.state, handed_in, connect.ACTIVE)
    tasks.look_at_payees()
    assert (payees.payee_of(acme).state, payees.payee_of(acme).problem) == (Payee.READY, "")
    assert payees.look_at_incomplete() == 0
    assert AuditEvent.objects.of(acme).filter(action=payees.ACTION).latest("pk").after["state"] == Payee.READY


def test_many_that_are_never_completed_keep_nobody_waiting(acme, rival, handed_in, double, monkeypatch):
    monkeypatch.setattr(payees, "AT_ONCE", 1)
    account_at(double, rival)
    Payee.objects.of(rival).update(state=Payee.INCOMPLETE)
    assert [payees.look_at_incomplete() for _ in range(2)] == [0, 1]


def test_a_round_goes_past_what_cannot_be_read_and_stops_while_stripe_is_away(
    acme, rival, handed_in, double, settings
):
    account_at(double, rival)
    Payee.objects.of(rival).update(state=Payee.INCOMPLETE)
    Payee.objects.of(acme).update(stripe_id="acct_of_nobody")
    assert payees.look_at_incomplete() == 1
    assert payees.payee_of(acme).problem == "account_gone"
    Payee.objects.of(rival).update(state=Payee.INCOMPLETE)
    settings.STRIPE_BASE_URL = "http://127.0.0.1:9"
    assert payees.look_at_incomplete() == 0


def test_stripe_tells_of_an_account_by_either_kind_of_event(acme, handed_in, double):
    connect.judge(double.state, handed_in, connect.ACTIVE)
    assert deliver(double.events[-1]) == 200
    assert events.handle_waiting() == 0
    assert payees.payee_of(acme).state == Payee.READY
    connect.set_status(double.state, handed_in, connect.RESTRICTED)
    thin = {
        "id": "evt_thin", "object": "v2.core.event", "related_object": {"id": handed_in, "type": "v2.core.account"},
        "type": "v2.core.account[configuration.recipient].capability_status_updated",
    }  # fmt: skip
    assert deliver(thin) == 200
    assert events.handle_waiting() == 0
    assert payees.payee_of(acme).state == Payee.INCOMPLETE


def test_who_asks_for_a_payout_is_looked_at_first(acme, as_alice, handed_in, double):
    earn(acme, 40 * DOLLAR)
    connect.set_status(double.state, handed_in, connect.ACTIVE)
    assert freezing.request(acme, as_alice).cents == 4000


@pytest.mark.parametrize("country", ["", "T", "THA", "1A", "ไท"])
def test_a_country_that_is_none_is_refused(acme, as_alice, double, country):
    with pytest.raises(InvalidField):
        payees.onboard(acme, as_alice, country, "alice@acme.test")
    assert double.state.of("account") == []


def test_the_destination_does_not_change_under_a_payout(earned, as_alice, acme, double):
    freezing.request(acme, as_alice)
    with pytest.raises(PayoutRefused):
        payees.set_bank(acme, as_alice, payees.Bank("Acme Ltd", "TH00 1234 5678", "Bangkok Bank BKKBTHBK"))


def test_an_amount_that_stripe_says_was_another_stays_open_for_a_person(earned, double):
    freezing.freeze_month(PERIOD)
    payout = Payout.objects.get()
    connect.transfer(double.state, {
        "amount": "100", "currency": "usd", "destination": earned.stripe_id, "transfer_group": payout.public_id,
    })  # fmt: skip
    Payout.objects.update(attempts=1)
    send_all()
    payout.refresh_from_db()
    assert (payout.state, payout.reason) == (Payout.SENDING, payouts.MISMATCH)
    assert transfers_of(double) == [100]


def test_what_is_taken_back_at_stripe_is_payable_again(earned, double, balances, acme):
    freezing.freeze_month(PERIOD)
    send_all()
    sent = double.state.of("transfer")[0]["id"]
    for amount in (1000, None):
        connect.reverse(double.state, sent, amount)
        deliver_all(double)
    assert payouts.agree_reversal(sent)
    assert balances()["acme rewards_available"] == 40 * DOLLAR + 5_000_000
    assert Payout.objects.get().reversed_cents == 4000
    assert freezing.payable_cents(acme) == 4000
    assert Transfer.objects.filter(kind=payouts.REVERSED).count() == 2


def test_a_transfer_of_nobody_is_none_of_ours(double, db):
    made = connect.create_account(double.state, {"configuration": {"recipient": {}}})
    connect.set_status(double.state, made["id"], connect.ACTIVE)
    sent = connect.transfer(double.state, {"amount": "100", "currency": "usd", "destination": made["id"]})
    assert not payouts.agree_reversal(sent["id"])


def test_a_payout_that_the_ledger_does_not_know_is_found(earned, double):
    freezing.freeze_month(PERIOD)
    Payout.objects.update(state=Payout.PAID, reference="tr_of_nobody", ended_at=timezone.now())
    assert [(one.invariant, one.detail) for one in reconcile() if one.invariant == "I9"] == [
        ("I9", "paid 4000 cents, posted nano-USD 0")
    ]
    Payout.objects.update(state=Payout.WAITING, reference=None, ended_at=None)


def test_without_stripe_nobody_is_onboarded(acme, as_alice, settings):
    with pytest.raises(PaymentsOff):
        payees.onboard(acme, as_alice, "TH", "alice@acme.test")
