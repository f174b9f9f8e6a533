"""From an order to credits, against a double of Stripe that is a real server, by Stripe's own SDK."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from celery import current_app
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone

from accounts.errors import InvalidField
from billing import crediting, events, tasks, topups
from billing.errors import PaymentsAway, PaymentsOff
from billing.models import EventsRead, StripeEvent, TopUp
from console import env
from demo.payments.deliveries import signature
from tests.billing.conftest import record
from tests.fakes.payments import KEY, SECRET, PaymentDouble
from tests.metering.conftest import eventually

DOLLAR = 10**9


@pytest.fixture
def double(settings):
    with PaymentDouble() as double:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
        settings.STRIPE_BASE_URL = double.url
        yield double


@pytest.fixture
def paid(acme, as_alice, double):
    """Orders so much and pays it at Stripe, of which nobody has told us yet; gives the payment's id."""

    def paid(amount: str = "20") -> str:
        page = httpx.URL(topups.order(acme, as_alice, amount).checkout_url)
        httpx.post(page, data={"act": "pay"})
        return double.state.get("session", page.path.rpartition("/")[2])["payment_intent"]

    return paid


def deliver(event, *, secret: str = SECRET, at_s: int | None = None, client: Client | None = None) -> int:
    body = event if isinstance(event, str) else json.dumps(event)
    headers = {"Stripe-Signature": signature(body, secret, at_s)}
    return (
        (client or Client())
        .post("/billing/stripe", body, content_type="application/json", headers=headers)
        .status_code
    )


def deliver_all(double: PaymentDouble) -> None:
    assert {deliver(event) for event in double.events} == {200}
    assert events.handle_waiting() == 0


def test_what_is_paid_is_credited_once(paid, double, balances):
    payment = paid()
    deliver_all(double)
    deliver_all(double)
    assert balances() == {"acme wallet": 20 * DOLLAR, "stripe_clearing": -20 * DOLLAR}
    top_up = TopUp.objects.get()
    assert (top_up.state, top_up.payment_id, top_up.received_cents) == (TopUp.PAID, payment, 2000)
    assert set(StripeEvent.objects.values_list("outcome", flat=True)) == {crediting.CREDITED}


def test_nothing_is_credited_before_it_is_paid(acme, as_alice, double, balances):
    topups.order(acme, as_alice, "20")
    assert double.events == []
    assert events.find_missed() == 0
    assert balances() == {}


def test_the_amount_is_what_stripe_received(paid, double, balances):
    double.state.get("payment", paid())["amount_received"] = 1234
    deliver_all(double)
    assert balances()["acme wallet"] == 12_340_000_000


def test_another_currency_is_not_taken_for_dollars(paid, double, balances):
    double.state.get("payment", paid())["currency"] = "thb"
    deliver_all(double)
    assert balances() == {}
    assert set(StripeEvent.objects.values_list("outcome", flat=True)) == {crediting.OTHER_CURRENCY}


def test_a_payment_that_names_no_order_of_ours_credits_nobody(double, balances, db):
    double.state.take(5000, "usd", None, {"top_up": "top_unheard_of"})
    deliver_all(double)
    assert balances() == {}


def test_a_second_payment_cannot_take_a_paid_order_as_its_own(paid, double, balances):
    paid()
    deliver_all(double)
    double.state.take(5000, "usd", None, {"top_up": TopUp.objects.get().public_id})
    deliver_all(double)
    assert balances()["acme wallet"] == 20 * DOLLAR


def test_a_refund_takes_back(paid, double, balances):
    payment = paid()
    deliver_all(double)
    refund = double.state.refund(payment, 500)
    deliver_all(double)
    assert balances() == {"acme wallet": 15 * DOLLAR, "stripe_clearing": -15 * DOLLAR}
    double.state.fail_refund(refund["id"])
    deliver_all(double)
    assert balances() == {"acme wallet": 20 * DOLLAR, "stripe_clearing": -20 * DOLLAR}


def test_what_was_spent_and_is_refunded_is_written_off(paid, used, double, balances):
    payment = paid("5")
    deliver_all(double)
    record(used())
    double.state.refund(payment, None)
    deliver_all(double)
    assert balances() == {"provider_cost": 2_820_000, "write_off": -2_820_000}


def test_a_dispute_takes_back_until_it_is_won(paid, double, balances):
    dispute = double.state.dispute(paid())
    deliver_all(double)
    assert balances() == {}
    double.state.close_dispute(dispute["id"], "won")
    deliver_all(double)
    assert balances()["acme wallet"] == 20 * DOLLAR


def test_events_that_never_came_are_found(paid, double, balances):
    paid()
    assert events.find_missed() == 2
    assert events.find_missed() == 0
    events.handle_waiting()
    assert balances()["acme wallet"] == 20 * DOLLAR


def test_many_events_of_other_kinds_hide_nothing(paid, double, balances):
    paid()
    for _ in range(150):
        double.state.happen("customer.updated", {"id": "cus_other"})
    asked = double.state.asked
    before = len(asked)
    assert events.find_missed() == 2
    assert len(asked) - before == 1
    events.handle_waiting()
    assert balances()["acme wallet"] == 20 * DOLLAR


def test_events_are_looked_for_since_the_last_look_that_came_to_its_end(paid, double, settings):
    assert events.find_missed() == 0
    EventsRead.objects.update(until=timezone.now() - timedelta(days=9))
    paid()
    for event in double.events:
        event["created"] -= 8 * 86_400
    settings.STRIPE_BASE_URL = "http://127.0.0.1:9"
    with pytest.raises(PaymentsAway):
        events.find_missed()
    settings.STRIPE_BASE_URL = double.url
    assert events.find_missed() == 2
    paid()
    for event in double.events[2:]:
        event["created"] -= 2 * 3600
    assert events.find_missed() == 0


def test_an_order_is_asked_about_where_no_event_tells_of_it(acme, as_alice, paid, double, balances):
    paid()
    double.state.objects["event"].clear()
    topups.order(acme, as_alice, "30")
    assert events.ask_about_orders() == 0  # somebody may be paying just now
    TopUp.objects.update(created_at=timezone.now() - timedelta(hours=1))
    for payment in double.state.of("payment"):
        payment["created"] -= 3600
    tasks.find_missed_events()
    assert balances()["acme wallet"] == 20 * DOLLAR
    assert sorted(TopUp.objects.values_list("state", flat=True)) == [TopUp.PAID, TopUp.PENDING]
    assert events.ask_about_orders() == 0


def test_orders_that_nobody_ever_pays_keep_no_other_waiting(acme, as_alice, double, monkeypatch):
    monkeypatch.setattr(events, "ORDERS_AT_ONCE", 1)
    for _ in range(2):
        topups.order(acme, as_alice, "30")
    TopUp.objects.update(created_at=timezone.now() - timedelta(hours=1))
    for _ in range(2):
        events.ask_about_orders()
    assert not TopUp.objects.filter(asked_at=None).exists()


def test_while_stripe_is_away_an_event_waits(paid, double, balances, settings):
    paid()
    for event in double.events:
        assert deliver(event) == 200
    settings.STRIPE_BASE_URL = "http://127.0.0.1:9"
    assert events.handle_waiting() == len(double.events)
    assert balances() == {}
    settings.STRIPE_BASE_URL = double.url
    assert events.handle_waiting() == 0
    assert balances()["acme wallet"] == 20 * DOLLAR


def test_an_event_that_cannot_be_handled_keeps_no_other_waiting(paid, double, balances, caplog):
    double.state.refund(paid(), None)
    double.state.of("refund")[0]["amount"] = 10**18
    told_of_it = len(double.events)
    paid("30")
    for event in double.events:
        assert deliver(event) == 200
    assert events.handle_waiting() == told_of_it
    assert "cannot be handled" in caplog.text
    assert balances()["acme wallet"] == 30 * DOLLAR


@pytest.mark.parametrize(
    "how", [{"secret": ""}, {"secret": "whsec_of_somebody_else"}, {"at_s": -301}, {"at_s": 301}, {"secret": KEY}]
)
def test_what_is_not_genuine_is_refused(paid, double, how):
    paid()
    if "at_s" in how:
        how = {"at_s": int(time.time()) + how["at_s"] + (2 if how["at_s"] > 0 else 0)}
    assert deliver(double.events[0], **how) == 400
    assert not StripeEvent.objects.exists()


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"id": 1}', "\x00", '{"id":"e","type":"t","data":{"object":[]}}'])
def test_a_signed_body_that_is_no_event_is_refused(double, db, body):
    assert deliver(body) == 400


def test_what_happened_to_another_account_is_none_of_ours(paid, double):
    paid()
    assert deliver(double.events[0] | {"account": "acct_other"}) == 200
    assert not StripeEvent.objects.exists()


def test_without_stripe_there_is_no_webhook(db, acme, as_alice):
    assert deliver({"id": "evt_1"}) == 404
    with pytest.raises(PaymentsOff):
        topups.order(acme, as_alice, "20")


@pytest.mark.parametrize("amount", ["4.99", "10000.01", "NaN", "Infinity", "-20", "ten", "20.001", "1e400", "", None])
def test_an_amount_out_of_bounds_is_refused(acme, as_alice, double, amount):
    with pytest.raises(InvalidField) as refusal:
        topups.order(acme, as_alice, amount)
    assert refusal.value.param == "amount_usd"
    assert not TopUp.objects.exists()


def test_an_order_that_stripe_does_not_take_is_none(acme, as_alice, double, settings):
    settings.STRIPE_SECRET_KEY = "sk_test_wrong"
    with pytest.raises(PaymentsAway):
        topups.order(acme, as_alice, "20")
    assert not TopUp.objects.exists()


def test_one_customer_and_a_portal_with_the_invoices(acme, paid, double):
    paid()
    paid()
    assert len(double.state.objects["customer"]) == 1
    page = httpx.get(topups.portal_of(acme)).text
    assert "TEST-0002: $20.00, paid" in page


@pytest.mark.parametrize("secret", ["", "whsec_short"])
def test_it_does_not_start_with_a_short_secret(secret):
    with pytest.raises(ImproperlyConfigured, match="at least 16"):
        env.require_long_secret("STRIPE_WEBHOOK_SECRET", secret, 16)


@pytest.mark.django_db(transaction=True)
def test_the_double_tells_us_by_itself(acme, as_alice, settings, live_server, balances):
    """Doubled and out of order, over HTTP."""
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
    with PaymentDouble(f"{live_server.url}/billing/stripe", disorder_s=0.2, doubles=0.5) as double:
        settings.STRIPE_BASE_URL = double.url
        for _ in range(4):
            httpx.post(topups.order(acme, as_alice, "25").checkout_url, data={"act": "pay"})
        for payment in double.state.of("payment")[:2]:
            double.state.refund(payment["id"], 500)
        eventually(lambda: StripeEvent.objects.count() == len(double.events))
        assert events.handle_waiting() == 0
    assert balances()["acme wallet"] == 90 * DOLLAR


def test_work_is_handed_over_by_redis_from_any_thread(settings):
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(lambda: current_app.conf.broker_url).result() == settings.REDIS_URL
