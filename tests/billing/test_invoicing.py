"""Automatic top-ups have an invoice as others do: one, for what was paid, whatever dies in between."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from billing import autotopup, client_invoices, details, invoicing, topups
from billing.details import Details
from billing.models import TopUp
from demo.payments.state import Object
from tests.billing.test_auto_top_up import low as low
from tests.billing.test_auto_top_up import save_card as save_card
from tests.billing.test_payments import deliver_all
from tests.billing.test_payments import double as double
from tests.fakes.payments import PaymentDouble

STEPS = ("invoices", "invoiceitems", "finalize", "attach_payment")


@pytest.fixture
def bought(low, double) -> TopUp:
    """$20 bought by themselves, without an invoice yet."""
    autotopup.run()
    return TopUp.objects.get()


def go_wrong(double: PaymentDouble, step: str, *faults: str) -> None:
    left = list(faults)
    double.state.faults = lambda path, given: left.pop(0) if path.endswith(step) and left else ""


def assert_one_invoice(double: PaymentDouble, top_up: TopUp) -> Object:
    top_up.refresh_from_db()
    [invoice] = double.state.of("invoice")
    [line] = double.state.of("line")
    [payment] = double.state.of("payment", status="succeeded")
    assert (invoice["status"], invoice["total"], invoice["amount_paid"], line["amount"]) == ("paid", 2000, 2000, 2000)
    assert top_up.invoice_id == payment["invoice"] == invoice["id"]
    assert (invoice["number"], invoice["effective_at"]) == ("TEST-0001", int(top_up.paid_at.timestamp()))
    return invoice


def test_what_was_bought_by_itself_gets_an_invoice_once(bought, double, acme, as_alice, balances):
    details.set_details(acme, as_alice, Details("Acme Limited", tax_id="TH-123"))
    assert details.invoice_address(bought) == ""
    assert [invoicing.make_missing(), invoicing.make_missing()] == [1, 0]
    assert_one_invoice(double, bought)
    pdf = httpx.get(details.invoice_address(bought))
    assert pdf.content.startswith(b"%PDF-1.4")
    for text in (b"Acme Limited", b"Tax ID: TH-123", b"$20.00", b"paid"):
        assert text in pdf.content
    deliver_all(double)
    assert balances()["acme wallet"] == 20 * 10**9


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("faults", [["cut"], ["pruned"], ["500"], ["pruned", "500"]])
def test_a_step_that_is_not_heard_of_is_taken_once(bought, double, step, faults):
    """Also when Stripe has forgotten its key meanwhile."""
    go_wrong(double, step, *faults)
    for _ in range(len(faults) + 1):
        invoicing.make_missing()
        double.forget_keys()
    assert_one_invoice(double, bought)


@pytest.mark.parametrize("step", ["draft", "add_line", "finalize", "attach"])
def test_a_death_after_any_step_is_made_good(bought, double, monkeypatch, step):
    done = getattr(client_invoices, step)

    def die(*about):
        done(*about)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client_invoices, step, die)
        with pytest.raises(KeyboardInterrupt):
            invoicing.make_missing()
    double.forget_keys()
    assert invoicing.make_missing() == 1
    assert_one_invoice(double, bought)


def test_what_is_refused_keeps_no_other_waiting_and_is_tried_later(bought, double, caplog):
    double.state.of("payment")[0]["currency"] = "eur"
    assert invoicing.make_missing() == 0
    assert "gets no invoice for now" in caplog.text
    double.state.of("payment")[0]["currency"] = "usd"
    now = timezone.now()
    assert invoicing.make_missing(now) == 0
    assert invoicing.make_missing(now + invoicing.REFUSED_FOR + timedelta(minutes=1)) == 1
    assert_one_invoice(double, bought)


def test_an_invoice_that_somebody_changed_is_not_finished_over(bought, double):
    go_wrong(double, "finalize", "500")
    invoicing.make_missing()
    double.state.of("invoice")[0]["total"] = 1
    assert invoicing.make_missing() == 0
    assert double.state.of("invoice")[0]["status"] == "draft"


def test_an_invoice_that_was_voided_is_not_made_again(bought, double):
    go_wrong(double, "attach_payment", "500")
    invoicing.make_missing()
    double.state.of("invoice")[0]["status"] = "void"
    assert invoicing.make_missing() == 1
    assert len(double.state.of("invoice")) == 1


def test_what_checkout_took_gets_none_beside_its_own(acme, as_alice, double):
    httpx.post(topups.order(acme, as_alice, "20").checkout_url, data={"act": "pay"})
    deliver_all(double)
    assert TopUp.objects.get().state == TopUp.PAID
    assert invoicing.make_missing() == 0
    assert len(double.state.of("invoice")) == 1


def test_while_stripe_is_away_nothing_is_lost(bought, double, settings):
    settings.STRIPE_BASE_URL = "http://127.0.0.1:9"
    assert invoicing.make_missing() == 0
    settings.STRIPE_BASE_URL = double.url
    assert invoicing.make_missing() == 1
