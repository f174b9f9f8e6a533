"""Credits that are bought by themselves: once for each order, within the cap, and not again at once when declined."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from django.core import mail
from django.utils import timezone

from accounts.errors import InvalidField
from accounts.models import AuditEvent
from billing import autotopup, cards, client_cards, crediting, events, topups
from billing.autotopup import Wishes
from billing.errors import CardMissing, PaymentsAway, PaymentsOff
from billing.models import AutoTopUp, SavedCard, StripeEvent, TopUp
from demo.payments import cards as test_cards
from demo.payments.state import Object
from tests.billing.conftest import record
from tests.billing.test_payments import DOLLAR, deliver_all
from tests.billing.test_payments import double as double
from tests.fakes.payments import PaymentDouble

WISHES = Wishes(True, "10", "20", "50")


@pytest.fixture
def save_card(acme, double):
    """Saves one of the double's cards at its page, and comes back as a browser does."""

    def save_card(kind: str = test_cards.GOOD) -> bool:
        page = cards.open_page(acme)
        back = httpx.post(page, data={"act": "pay", "card": kind}).headers.get("Location", "")
        return cards.adopt_from(back.partition("card=")[2]) if back else False

    return save_card


@pytest.fixture
def low(acme, as_alice, save_card) -> AutoTopUp:
    """An empty wallet, a card that pays: $20 are bought below $10, at most $50 a month."""
    save_card()
    return autotopup.set_rule(acme, as_alice, WISHES)


def behave(double: PaymentDouble, kind: str) -> None:
    for method in double.state.of("method"):
        method["behaves"] = kind


def cut(double: PaymentDouble, *faults: str) -> None:
    left = list(faults)
    double.state.faults = lambda path, given: left.pop(0) if path == "payment_intents" and left else ""


def payments_of(double: PaymentDouble) -> list[Object]:
    return double.state.of("payment", status="succeeded")


def test_a_card_is_saved_without_paying(acme, save_card, double):
    assert save_card()
    assert save_card()
    card = SavedCard.objects.get()
    assert (card.brand, card.last4, card.expires) == ("visa", "4242", "12/2034")
    assert [one["customer"] is None for one in double.state.of("method")] == [False, True]  # the older one is let go
    assert payments_of(double) == []
    assert AuditEvent.objects.of(acme).filter(action="billing.card_saved").count() == 2


def test_the_webhook_saves_it_too(acme, double, balances):
    httpx.post(cards.open_page(acme), data={"act": "pay"})
    deliver_all(double)
    assert SavedCard.objects.get().last4 == "4242"
    assert StripeEvent.objects.get().outcome == crediting.CARD_KEPT
    assert balances() == {}


def test_a_card_that_is_declined_is_not_saved(acme, save_card, double):
    assert not save_card(test_cards.DECLINED)
    assert not SavedCard.objects.exists()


def test_a_card_of_a_customer_of_nobody_is_not_taken(acme, double):
    made = double.state.add("customer", metadata={})
    page = client_cards.open_setup(made["id"], "org_x", "http://127.0.0.1/billing")
    httpx.post(page.url, data={"act": "pay"})
    assert not cards.adopt_from(page.id)


def test_a_payment_can_keep_its_card(acme, as_alice, double, balances):
    page = topups.order(acme, as_alice, "20", keeps_card=True).checkout_url
    httpx.post(page, data={"act": "pay"})
    deliver_all(double)
    assert balances()["acme wallet"] == 20 * DOLLAR
    assert SavedCard.objects.get().last4 == "4242"
    cards.remove(acme, as_alice)
    StripeEvent.objects.update(handled_at=None)
    events.handle_waiting()
    assert not SavedCard.objects.exists()


def test_below_the_threshold_credits_are_bought_once(low, double, balances, acme):
    assert autotopup.run() == 1
    assert autotopup.run() == 0
    deliver_all(double)
    assert balances() == {"acme wallet": 20 * DOLLAR, "stripe_clearing": -20 * DOLLAR}
    top_up = TopUp.objects.get()
    assert (top_up.state, top_up.is_automatic, top_up.received_cents) == (TopUp.PAID, True, 2000)
    assert len(payments_of(double)) == 1


def test_not_above_it(low, fund, acme, double):
    fund(acme, 10 * DOLLAR)
    assert autotopup.run() == 0


def test_it_stops_at_the_cap_of_the_month(low, double, acme, balances):
    AutoTopUp.objects.update(threshold_cents=1_000_000)
    for _ in range(4):
        autotopup.run()
    assert balances()["acme wallet"] == 40 * DOLLAR
    assert not autotopup.has_room(AutoTopUp.objects.get(), timezone.now())
    TopUp.objects.update(created_at=timezone.now() - timedelta(days=32))
    autotopup.run()
    assert balances()["acme wallet"] == 60 * DOLLAR


@pytest.mark.parametrize("faults", [["cut"], ["pruned"], ["500"], ["cut", "pruned"]])
def test_an_answer_that_is_lost_pays_nothing_twice(low, double, balances, faults):
    """What is not known is asked by the next round, also when Stripe has forgotten the key meanwhile."""
    cut(double, *faults)
    for _ in range(3):
        autotopup.run()
        double.forget_keys()
    assert balances()["acme wallet"] == 20 * DOLLAR
    assert len(payments_of(double)) == 1
    assert TopUp.objects.filter(is_automatic=True, state=TopUp.PENDING).count() == 0


def test_a_death_after_the_payment_is_made_good(low, double, balances, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(crediting, "agree", lambda payment: (_ for _ in ()).throw(PaymentsAway))
        autotopup.run()
    assert balances() == {}
    autotopup.run()
    assert balances()["acme wallet"] == 20 * DOLLAR
    assert len(payments_of(double)) == 1


def test_a_decline_is_told_and_puts_the_next_attempt_off(
    low, double, acme, balances, django_capture_on_commit_callbacks
):
    behave(double, test_cards.DECLINED_LATER)
    with django_capture_on_commit_callbacks(execute=True):
        autotopup.run()
        autotopup.run()
    low.refresh_from_db()
    assert (low.failures, low.failure, low.is_on) == (1, "insufficient_funds", True)
    assert low.next_attempt_at > timezone.now() + timedelta(minutes=55)
    assert [one.subject for one in mail.outbox] == ["The card of Acme was declined"]
    assert "4242" in mail.outbox[0].body
    assert (TopUp.objects.get().state, TopUp.objects.get().failure) == (TopUp.FAILED, "insufficient_funds")
    assert AuditEvent.objects.of(acme).filter(action="billing.card_declined").count() == 1
    assert balances() == {}


def test_a_reached_cap_is_told_once_a_month(low, double, acme, as_alice, django_capture_on_commit_callbacks):
    wishes, now = Wishes(True, "30", "20", "30"), timezone.now()
    autotopup.set_rule(acme, as_alice, wishes)
    assert autotopup.run(now) == 1
    with django_capture_on_commit_callbacks(execute=True):
        assert [autotopup.run(now), autotopup.run(now)] == [0, 0]
    [told] = mail.outbox
    assert told.subject == "Acme: automatic top-up has reached its cap for this month"
    assert "$20.00 of at most $30.00. Another $20.00" in told.body
    assert told.to == ["alice@acme.test"]
    with django_capture_on_commit_callbacks(execute=True):
        autotopup.set_rule(acme, as_alice, wishes)
        autotopup.run(now)
    assert len(mail.outbox) == 2
    assert len(payments_of(double)) == 1
    assert autotopup.run((now.replace(day=1) + timedelta(days=32)).replace(day=2)) == 1


def test_after_the_last_decline_it_is_off_until_a_person_turns_it_on(low, double, acme, as_alice, balances):
    behave(double, test_cards.DECLINED_LATER)
    now = timezone.now()
    for day in range(6):
        autotopup.run(now + timedelta(days=day * 2))
    low.refresh_from_db()
    assert (low.is_on, low.failures, TopUp.objects.count()) == (False, 4, 4)
    behave(double, test_cards.GOOD)
    autotopup.set_rule(acme, as_alice, WISHES)
    autotopup.run()
    low.refresh_from_db()
    assert (low.failures, low.failure, balances()["acme wallet"]) == (0, "", 20 * DOLLAR)


def test_a_bank_that_asks_its_customer_ends_it_at_once(low, double):
    behave(double, test_cards.ASKS)
    autotopup.run()
    low.refresh_from_db()
    assert (low.is_on, low.failure) == (False, autotopup.NEEDS_ITS_OWNER)


def test_another_card_is_tried_at_once(low, double, save_card, balances):
    behave(double, test_cards.DECLINED_LATER)
    autotopup.run()
    save_card()
    autotopup.run()
    assert balances()["acme wallet"] == 20 * DOLLAR


def test_usage_brings_it_below(low, double, fund, acme, used, balances):
    fund(acme, 10 * DOLLAR)
    assert autotopup.run() == 0
    record(used())
    assert autotopup.run() == 1


def test_removing_the_card_ends_it(low, acme, as_alice, double):
    cards.remove(acme, as_alice)
    cards.remove(acme, as_alice)
    low.refresh_from_db()
    assert (low.is_on, autotopup.run()) == (False, 0)
    assert double.state.of("method")[0]["customer"] is None
    with pytest.raises(CardMissing):
        autotopup.set_rule(acme, as_alice, WISHES)


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        (Wishes(True, "0", "20", "50"), "threshold_usd"),
        (Wishes(True, "10", "4.99", "50"), "amount_usd"),
        (Wishes(True, "10", "20", "19.99"), "monthly_cap_usd"),
        (Wishes(False, "NaN", "20", "50"), "threshold_usd"),
        (Wishes(True, "10", "1e99", "50"), "amount_usd"),
    ],
)
def test_what_makes_no_sense_is_refused(acme, as_alice, save_card, wishes, field):
    save_card()
    with pytest.raises(InvalidField) as refusal:
        autotopup.set_rule(acme, as_alice, wishes)
    assert field in refusal.value.fields
    assert not AutoTopUp.objects.exists()


def test_without_stripe_there_is_none(acme, as_alice):
    with pytest.raises(PaymentsOff):
        autotopup.set_rule(acme, as_alice, WISHES)
    with pytest.raises(PaymentsOff):
        cards.open_page(acme)
