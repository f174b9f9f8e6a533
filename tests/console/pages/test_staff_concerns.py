"""What needs a person: found, told once, listed with what to do, and noted as done."""

from datetime import timedelta

import httpx
import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from billing import concerns, crediting, freezing, payouts, topups
from billing.models import Concern, Payout, StripeEvent, TopUp, Unsettled
from demo.payments import connect
from tests.billing.conftest import balances as balances
from tests.billing.payees import DOLLAR, account_at, earn
from tests.console.pages.test_billing import paying as paying

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client_of, make_user):
    return client_of(make_user("sam@operator.test", is_staff=True))


@pytest.fixture
def foreign(acme, as_alice, paying) -> TopUp:
    """Paid in baht."""
    top_up = topups.order(acme, as_alice, "20")
    httpx.post(top_up.checkout_url, data={"act": "pay"})
    payment = paying.state.of("payment")[0]
    payment["currency"] = "thb"
    assert crediting.agree(payment["id"]) == crediting.OTHER_CURRENCY
    return top_up


@pytest.fixture
def mismatched(acme, as_alice, paying) -> Payout:
    """$1 went out for $40."""
    earn(acme, 40 * DOLLAR)
    payee = account_at(paying, acme)
    payout = freezing.request(acme, as_alice)
    connect.transfer(paying.state, {
        "amount": "100", "currency": "usd", "destination": payee.stripe_id, "transfer_group": payout.public_id,
    })  # fmt: skip
    Payout.objects.update(attempts=1)
    payouts.send(payout.pk)
    return payout


def shown(client) -> str:
    response = client.get(reverse("staff-concerns"))
    assert response.status_code == 200
    return response.content.decode()


def test_nothing_needs_a_person(staff):
    assert concerns.look() == 0
    assert "Nothing needs a person" in shown(staff)
    assert mail.outbox == []


def test_all_of_them_are_found_and_told_once(staff, foreign, mismatched, acme):
    Unsettled.objects.create(
        request_id="req_1", started_at=timezone.now(), org_id=acme.pk, target_id=1, reason="no_price"
    )
    StripeEvent.objects.create(
        id="evt_1", type="refund.created", object_id="re_1", received_at=timezone.now() - timedelta(hours=2)
    )
    assert [concerns.look() for _ in range(2)] == [4, 4]
    assert [(one.to, one.subject) for one in mail.outbox] == [
        (["sam@operator.test"], "4 things about money need a person")
    ]
    page = shown(staff)
    for text in (
        "A top-up was paid in another currency", foreign.public_id, "A payout went out otherwise than was meant",
        mismatched.public_id, "Requests that charged nobody", ":no_price", "1 request", "evt_1", acme.name,
        "Reverse the transfer of this payout at Stripe",
    ):  # fmt: skip
        assert text in page
    StripeEvent.objects.update(handled_at=timezone.now())
    assert concerns.look() == 3
    assert "by itself" in shown(staff)
    assert len(mail.outbox) == 1


def test_without_a_mail_server_it_is_told_later(staff, foreign, settings):
    settings.EMAIL_BACKEND, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", 9
    concerns.look()
    assert Concern.objects.get().told_at is None
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    concerns.look()
    assert len(mail.outbox) == 1


def test_the_buyer_is_not_told_to_wait_for_ever(client_of, alice, acme, foreign, staff):
    buyer = client_of(alice)
    page = buyer.get(reverse("billing"), {"paid": foreign.public_id}).content.decode()
    assert "The payment needs a person" in page
    assert "on its way" not in page
    concerns.look()
    staff.post(reverse("staff-concern-done", args=[Concern.objects.get().pk]))
    page = buyer.get(reverse("billing"), {"paid": foreign.public_id}).content.decode()
    assert "The operator has looked at it" in page
    assert TopUp.objects.get().state == TopUp.FAILED
    assert AuditEvent.objects.of(acme).get(action="concern.closed").after["subject"] == foreign.public_id
    TopUp.objects.update(state=TopUp.PENDING, failure="", created_at=timezone.now() - timedelta(hours=2))
    page = buyer.get(reverse("billing"), {"paid": foreign.public_id}).content.decode()
    assert "No payment has arrived" in page


def test_a_payout_is_done_when_stripe_has_taken_it_back(staff, mismatched, paying, acme, balances):
    concerns.look()
    address = reverse("staff-concern-done", args=[Concern.objects.get().pk])
    staff.post(address)
    assert "Reverse the transfer at Stripe first" in shown(staff)
    assert freezing.payable_cents(acme) == 0
    connect.reverse(paying.state, paying.state.of("transfer")[0]["id"], None)
    staff.post(address)
    assert "Noted." in shown(staff)
    mismatched.refresh_from_db()
    assert (mismatched.state, freezing.payable_cents(acme)) == (Payout.RETURNED, 4000)
    assert balances()["acme rewards_available"] == 40 * DOLLAR
    assert Concern.objects.get().done_by == "sam@operator.test"
    staff.post(address)
    assert AuditEvent.objects.of(acme).filter(action="concern.closed").count() == 1


def test_it_is_for_staff(client_of, alice, acme):
    client = client_of(alice)
    assert client.get(reverse("staff-concerns")).status_code == 403
    assert client.post(reverse("staff-concern-done", args=[1])).status_code == 403
