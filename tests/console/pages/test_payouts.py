"""The Payouts page: what can be paid out, where to, and each payout with its statement."""

import csv
import io
from datetime import timedelta

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from billing import payees, payouts
from billing.models import Payee, Payout
from console.payment_words import payee_problem
from demo.payments import connect
from tests.billing.conftest import balances as balances
from tests.billing.payees import DOLLAR, account_at, earn
from tests.console.pages.test_billing import paying as paying

pytestmark = pytest.mark.django_db

BANK = {"holder": "Acme Ltd", "account": "TH00 1234 5678 9012", "bank": "Bangkok Bank BKKBTHBK"}


@pytest.fixture
def client(client_of, alice, acme):
    return client_of(alice)


def shown(client, **query) -> str:
    response = client.get(reverse("payouts"), query)
    assert response.status_code == 200
    return response.content.decode()


def said(client) -> str:
    return client.get(reverse("payouts")).content.decode()


def test_nothing_yet(client):
    page = shown(client)
    assert "Nothing was paid out yet" in page
    assert "Not set" in page


def test_from_the_onboarding_to_a_statement(client, acme, paying):
    earn(acme, 40 * DOLLAR)
    page = client.post(reverse("payouts-onboard"), {"country": "TH"})["Location"]
    assert "Not verified yet" in shown(client)
    assert "Your money stays where it is" in shown(client)
    back = httpx.post(page, data={"act": "finish"}).headers["Location"]
    assert client.get(back.partition("testserver")[2] or "/payouts?onboarded=1").status_code == 302
    assert "Verified" in shown(client)
    client.post(reverse("payouts-request"))
    requested = AuditEvent.objects.of(acme).get(action="payout.requested")
    assert (requested.before, requested.after["amount_usd"]) == (None, "40.00")
    assert "The payout is on its way." in shown(client)
    payouts.send_due(now=timezone.now() + timedelta(days=1))
    payout = Payout.objects.get()
    assert payout.state == Payout.PAID
    detail = client.get(reverse("payouts-detail", args=[payout.public_id])).content.decode()
    assert payout.reference in detail
    assert "Rewards that matured" in detail
    text = client.get(reverse("payouts-statement", args=[payout.public_id])).content.decode()
    assert [row["amount_usd"] for row in csv.DictReader(io.StringIO(text))] == ["40.000000000"]
    listed = client.get(reverse("payouts-export")).content.decode()
    assert [row["amount_usd"] for row in csv.DictReader(io.StringIO(listed))] == ["40.00"]


def test_what_stripe_still_checks_is_said_in_words_and_looked_at_again(client, acme, paying):
    page = client.post(reverse("payouts-onboard"), {"country": "TH"})["Location"]
    httpx.post(page, data={"act": "hand_in"})
    client.post(reverse("payouts-check"))
    page = shown(client)
    assert "It is not verified yet." in page
    assert "Stripe checks what you gave" in page
    assert "requirements_pending" not in page
    connect.set_status(paying.state, Payee.objects.get().stripe_id, connect.ACTIVE)
    client.post(reverse("payouts-check"))
    assert "It is verified. You can be paid there." in shown(client)
    changed = AuditEvent.objects.of(acme).filter(action="payout_destination.changed").latest("pk")
    assert (changed.before["state"], changed.after["state"]) == (Payee.INCOMPLETE, Payee.READY)


@pytest.mark.parametrize(
    ("method", "problem", "words"),
    [
        (Payee.STRIPE, "a_code_of_tomorrow", "Stripe needs details from you"),
        (Payee.STRIPE, "unsupported_country", "Stripe does not pay to this country"),
        (Payee.BANK, "The IBAN is another's", "The IBAN is another's"),
        (Payee.STRIPE, "", ""),
    ],
)
def test_a_problem_is_said_in_words(method, problem, words):
    assert payee_problem(Payee(method=method, problem=problem)) == words


def test_what_is_missing_is_said(client, acme, paying):
    client.post(reverse("payouts-request"))
    assert "Say first where you want to be paid." in said(client)
    account_at(paying, acme)
    client.post(reverse("payouts-request"))
    assert "The least that is paid out is $25.00; matured are $0.00." in said(client)
    assert client.post(reverse("payouts-onboard"), {"country": "1"}).status_code == 422


def test_each_month_or_only_on_request(client, acme, paying):
    account_at(paying, acme)
    client.post(reverse("payouts-monthly"), {"is_monthly": "false"})
    assert not Payee.objects.get().is_monthly
    changed = AuditEvent.objects.of(acme).get(action="payout_destination.changed")
    assert (changed.before["monthly"], changed.after["monthly"]) == (True, False)
    assert "Paid out only when you ask." in shown(client)


def test_a_bank_is_checked_paid_by_hand_and_booked_once(client, acme, balances, capsys):
    earn(acme, 40 * DOLLAR)
    assert client.post(reverse("payouts-bank"), BANK).status_code == 302
    page = shown(client)
    assert "Bangkok Bank BKKBTHBK •••• 9012" in page
    assert "1234 5678" not in page
    assert b"1234" not in bytes(Payee.objects.get().sealed)
    client.post(reverse("payouts-request"))
    assert "is not verified yet" in said(client)
    call_command("payouts", "verify", "acme")
    client.post(reverse("payouts-request"))
    payout = Payout.objects.get()
    capsys.readouterr()
    for _ in range(2):
        call_command("payouts", "csv")
        row = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert (row["payout"], row["amount_usd"], row["account"]) == (payout.public_id, "40.00", BANK["account"])
    for _ in range(2):
        call_command("payouts", "confirm", payout.public_id, "--reference", "TX-1")
    assert balances() == {"promo": -40 * DOLLAR, "bank_clearing": 40 * DOLLAR}
    with pytest.raises(CommandError):
        call_command("payouts", "confirm", payout.public_id, "--reference", "TX-2")
    with pytest.raises(CommandError):
        call_command("payouts", "return", payout.public_id, "--reason", "late")


def test_what_the_bank_did_not_pay_comes_back(client, acme, as_alice, balances, capsys):
    earn(acme, 40 * DOLLAR)
    payees.set_bank(acme, as_alice, payees.Bank(**BANK))
    call_command("payouts", "verify", "acme")
    client.post(reverse("payouts-request"))
    payout = Payout.objects.get()
    with pytest.raises(CommandError):  # it was not exported
        call_command("payouts", "confirm", payout.public_id, "--reference", "TX-1")
    call_command("payouts", "return", payout.public_id, "--reason", "account closed")
    assert balances()["acme rewards_available"] == 40 * DOLLAR
    page = shown(client)
    assert "Came back" in page
    assert "account closed" in page
    assert "Not verified yet" in page


def test_an_auditor_sees_and_does_not_act(client_of, bob, carol, acme):
    for user in (bob, carol):
        assert client_of(user).get(reverse("payouts")).status_code == 403
        assert client_of(user).post(reverse("payouts-request")).status_code == 403
