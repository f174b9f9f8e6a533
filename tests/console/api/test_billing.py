"""`/billing`: as the page shows it, for scripts."""

from __future__ import annotations

import httpx
import pytest

from billing import credits
from billing.models import Customer, TopUp
from common.money import NANOS_PER_USD
from ledger import kinds
from ledger.chart import ensure_account
from ledger.holds import reserve
from tests.console.api.conftest import error_of
from tests.fakes.payments import KEY, SECRET, PaymentDouble

pytestmark = pytest.mark.django_db


@pytest.fixture
def credited(acme, as_alice):
    for number in range(3):
        credits.give(acme, as_alice, NANOS_PER_USD + number, purpose=f"gift-{number}", reason=f"Gift {number}")


def test_the_balance(api, acme, credited):
    reserve("hold:1", ensure_account(kinds.WALLET, acme).pk, NANOS_PER_USD)
    assert api.get("billing/balance").json() == {
        "object": "billing_balance",
        "available_usd": "2.000000003",
        "held_usd": "1",
        "balance_usd": "3.000000003",
        "credit_limit_usd": "0",
        "owed_usd": "0",
        "tokens_usd": "0",
    }


def test_nothing_yet_is_zero(api):
    assert api.get("billing/balance").json()["available_usd"] == "0"
    assert api.get("billing/entries").json()["data"] == []


def test_entries_a_page_at_a_time(api, credited):
    first = api.get("billing/entries?limit=2").json()
    assert [entry["reason"] for entry in first["data"]] == ["Gift 2", "Gift 1"]
    assert first["data"][0]["amount_usd"] == "1.000000002"
    rest = api.get(f"billing/entries?limit=2&cursor={first['next_cursor']}").json()
    assert [entry["reason"] for entry in rest["data"]] == ["Gift 0"]
    assert not rest["has_more"]
    assert api.get("billing/entries?kind=refund").json()["data"] == []
    assert api.get("billing/entries?kind=gold").status_code == 400


def test_a_top_up_is_ordered_once(api, acme, settings):
    with PaymentDouble() as double:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
        settings.STRIPE_BASE_URL = double.url
        made = [api.post("billing/top-ups", {"amount_usd": "12.5"}, Idempotency_Key="once") for _ in range(2)]
    assert [response.status_code for response in made] == [201, 201]
    assert made[0].json() == made[1].json()
    top_up = TopUp.objects.get()
    said = made[0].json()
    assert (said["amount_usd"], said["state"], said["checkout_url"]) == ("12.50", "pending", top_up.checkout_url)


def test_the_portal_is_opened_for_whom_it_is(api, acme, settings):
    with PaymentDouble() as double:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
        settings.STRIPE_BASE_URL = double.url
        opened = api.post("billing/portal", {})
        assert (opened.status_code, opened.json()["object"]) == (201, "billing_page")
        assert "Invoices" in httpx.get(opened.json()["url"]).text
        assert double.state.of("portal")[0]["customer"] == Customer.objects.of(acme).get().stripe_id
    settings.STRIPE_BASE_URL = "http://127.0.0.1:9"
    assert error_of(api.post("billing/portal", {}))["code"] == "payments_away"
    settings.STRIPE_SECRET_KEY = ""
    assert error_of(api.post("billing/portal", {}))["code"] == "payments_off"


def test_without_stripe_it_is_refused(api):
    response = api.post("billing/top-ups", {"amount_usd": "25"})
    assert (response.status_code, error_of(response)["code"]) == (409, "payments_off")


@pytest.mark.parametrize("amount", ["1", "-5", "NaN", "1e99", "", [], None])
def test_an_amount_out_of_bounds_names_its_field(api, amount):
    response = api.post("billing/top-ups", {"amount_usd": amount})
    assert (response.status_code, error_of(response)["param"]) == (400, "amount_usd")
