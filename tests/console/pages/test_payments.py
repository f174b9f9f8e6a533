"""Cards, automatic top-ups, vouchers, invoices on the Billing page."""

import httpx
import pytest
from django.urls import reverse

from accounts.audit import Actor
from accounts.models import AuditEvent
from billing import autotopup, crediting, invoicing, topups, vouchers
from billing.models import AutoTopUp, BillingDetails, SavedCard, TopUp, VoucherUse
from common.money import NANOS_PER_USD
from demo.payments import cards as test_cards
from tests.console.pages.test_billing import paying as paying
from tests.console.pages.test_billing import shown

pytestmark = pytest.mark.django_db

RULE = {"is_on": "on", "threshold_usd": "10", "amount_usd": "20", "monthly_cap_usd": "50"}


@pytest.fixture
def client(client_of, alice, acme):
    return client_of(alice)


@pytest.fixture
def saved(client, paying):
    """Comes back from the page that has saved a card."""
    page = client.post(reverse("billing-card"))["Location"]
    back = httpx.URL(httpx.post(page, data={"act": "pay"}).headers["Location"])
    return shown(client, card=back.params["card"])


def test_a_card_is_saved_and_automatic_top_ups_are_set(client, saved, acme):
    assert "The card is saved" in saved
    assert "Visa •••• 4242" in saved
    response = client.post(reverse("billing-auto-top-up"), RULE)
    assert response.status_code == 302
    assert "Buys $20.00 when less than $10.00 is available. $0.00 of $50.00 are used this month." in shown(client)
    event = AuditEvent.objects.of(acme).get(action="billing.auto_top_up_set")
    assert (event.before, event.after["amount_usd"]) == (None, "20.00")
    client.post(reverse("billing-auto-top-up"), RULE | {"is_on": "", "amount_usd": "30"})
    event = AuditEvent.objects.of(acme).filter(action="billing.auto_top_up_set").latest("sequence")
    assert (event.before["on"], event.after["on"]) == (True, False)


def test_a_declined_card_is_told_on_the_page(client, saved, paying):
    client.post(reverse("billing-auto-top-up"), RULE)
    for method in paying.state.of("method"):
        method["behaves"] = test_cards.DECLINED_LATER
    autotopup.run()
    page = shown(client)
    assert "The card was declined" in page
    assert "not enough money on the account" in page
    assert "The next attempt:" in page
    AutoTopUp.objects.update(is_on=False)
    assert "then turn it on again" in shown(client)


def test_the_cap_is_told_on_the_page(client, saved, acme):
    client.post(reverse("billing-auto-top-up"), RULE | {"monthly_cap_usd": "20", "threshold_usd": "100"})
    autotopup.run()
    assert "The cap of this month is reached" in shown(client)


def test_a_rule_without_a_card_or_sense_is_refused(client, paying):
    assert "Save a card first" in client.post(reverse("billing-auto-top-up"), RULE).content.decode()
    response = client.post(reverse("billing-auto-top-up"), RULE | {"monthly_cap_usd": "19"})
    assert response.status_code == 422
    assert not AutoTopUp.objects.exists()


def test_a_card_is_removed(client, saved, acme):
    client.post(reverse("billing-auto-top-up"), RULE)
    client.post(reverse("billing-card"), {"wish": "remove"})
    assert not SavedCard.objects.exists()
    assert not AutoTopUp.objects.get().is_on
    gone = AuditEvent.objects.of(acme).get(action="billing.card_removed")
    assert (gone.before["last4"], gone.after) == ("4242", None)


@pytest.mark.parametrize("session", ["cs_nobody", "../x", "x" * 200, "\0"])
def test_coming_back_with_no_such_page_saves_nothing(client, paying, session):
    shown(client, card=session)
    assert not SavedCard.objects.exists()


def test_a_voucher_is_redeemed_once(client, acme):
    code = vouchers.make(5 * NANOS_PER_USD, uses=2, reason="Launch", actor=Actor.system("staff")).code
    assert client.post(reverse("billing-voucher"), {"code": code}).status_code == 302
    assert "$5.00 of credits are in your balance." in shown(client)
    again = client.post(reverse("billing-voucher"), {"code": code})
    assert again.status_code == 422
    assert "has redeemed this code already" in again.content.decode()
    assert "no such code" in client.post(reverse("billing-voucher"), {"code": "NOSUCHCODE"}).content.decode()
    assert VoucherUse.objects.count() == 1
    assert AuditEvent.objects.of(acme).filter(action="billing.voucher_redeemed").count() == 1


def test_without_stripe_it_says_how_to_pay_by_hand(client):
    page = shown(client)
    assert "the operator books it here once" in page
    assert "Redeem a voucher" in page
    assert "Automatic top-ups" not in page


def test_an_invoice_is_a_pdf_that_names_the_organisation(client, paying, acme, as_alice):
    named = {"name": "Acme Limited", "line1": "1 Silom Road", "city": "Bangkok", "country": "th", "tax_id": "TH-123"}
    assert client.post(reverse("billing-details"), named).status_code == 302
    httpx.post(topups.order(acme, as_alice, "20").checkout_url, data={"act": "pay"})
    crediting.agree(paying.state.of("payment")[0]["id"])
    top_up = TopUp.objects.get()
    page = shown(client)
    assert reverse("billing-invoice", args=[top_up.public_id]) in page
    assert "Acme Limited" in page
    address = client.get(reverse("billing-invoice", args=[top_up.public_id]))["Location"]
    pdf = httpx.get(address)
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-1.4")
    for text in (b"Acme Limited", b"1 Silom Road", b"Tax ID: TH-123", b"$20.00"):
        assert text in pdf.content
    receipt = client.get(reverse("billing-receipt", args=[top_up.public_id])).content.decode()
    assert "$20.00" in receipt
    assert top_up.payment_id in receipt


def test_an_automatic_top_up_has_an_invoice_too_once_it_is_made(client, saved, paying):
    client.post(reverse("billing-auto-top-up"), RULE)
    autotopup.run()
    top_up = TopUp.objects.get()
    invoice = reverse("billing-invoice", args=[top_up.public_id])
    receipt = reverse("billing-receipt", args=[top_up.public_id])
    assert invoice not in shown(client)
    assert client.get(invoice)["Location"] == receipt
    assert invoicing.make_missing() == 1
    assert invoice in shown(client)
    assert invoice in client.get(receipt).content.decode()
    pdf = httpx.get(client.get(invoice)["Location"])
    assert b"$20.00" in pdf.content
    told = client.get(f"/api/v1/billing/top-ups/{top_up.public_id}/invoice").json()
    assert httpx.get(told["pdf_url"]).content == pdf.content


def test_while_the_payment_service_is_away_there_is_a_receipt(client, paying, acme, as_alice, settings):
    httpx.post(topups.order(acme, as_alice, "20").checkout_url, data={"act": "pay"})
    crediting.agree(paying.state.of("payment")[0]["id"])
    settings.STRIPE_BASE_URL = "http://127.0.0.1:9"
    response = client.get(reverse("billing-invoice", args=[TopUp.objects.get().public_id]))
    assert response["Location"] == reverse("billing-receipt", args=[TopUp.objects.get().public_id])


@pytest.mark.parametrize(
    ("field", "text"), [("name", ""), ("country", "T1"), ("tax_id", "<b>"), ("email", "nobody"), ("line1", "x" * 121)]
)
def test_details_that_make_no_sense_are_refused(client, field, text):
    response = client.post(reverse("billing-details"), {"name": "Acme"} | {field: text})
    assert response.status_code == 422
    assert not BillingDetails.objects.exists()
