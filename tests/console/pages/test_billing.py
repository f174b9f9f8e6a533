"""The Billing page: what there is, its movements, and the way to more."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent
from billing import credits, statements
from billing.earnings.clawback import CLAWBACK
from billing.models import TopUp
from common.money import NANOS_PER_USD
from console.pages import billing
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.holds import reserve
from ledger.transfers import post
from tests.fakes.payments import KEY, SECRET, PaymentDouble

pytestmark = pytest.mark.django_db


@pytest.fixture
def moved(acme, rival, as_alice):
    """Acme has $25 of credit and used $1.5 of it, $2 are held; rival has $99."""
    credits.give(acme, as_alice, 25 * NANOS_PER_USD, purpose="welcome", reason="Welcome")
    credits.give(rival, as_alice, 99 * NANOS_PER_USD, purpose="welcome", reason="For rival alone")
    wallet, revenue = ensure_account(kinds.WALLET, acme), ensure_account(kinds.REVENUE)
    post(Draft("settlement:req_1", "settlement", {wallet.pk: -1_500_000_000, revenue.pk: 1_500_000_000}))
    reserve("hold:1", wallet.pk, 2 * NANOS_PER_USD)


@pytest.fixture
def tokens(acme) -> None:
    """Acme's machines have earned $3 for its own use, of which $0.25 paid."""
    tokens, promo = ensure_account(kinds.TOKENS, acme), ensure_account(kinds.PROMO)
    post(Draft("split:settlement:req_0:1", "exchange", {promo.pk: -3 * NANOS_PER_USD, tokens.pk: 3 * NANOS_PER_USD}))
    post(Draft("settlement:req_7", "settlement", {tokens.pk: -250_000_000, promo.pk: 250_000_000}))


@pytest.fixture
def paying(settings):
    with PaymentDouble() as double:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
        settings.STRIPE_BASE_URL = double.url
        yield double


def shown(client, **query) -> str:
    response = client.get(reverse("billing"), query)
    assert response.status_code == 200
    return response.content.decode()


def test_movements_of_tokens_have_a_list_of_their_own(client_of, alice, moved, tokens):
    """On the page, in the file and by the API; what moved credits is not among them."""
    client = client_of(alice)
    assert "split:settlement:req_0:1" not in shown(client)
    page = shown(client, purse="tokens")
    assert all(words in page for words in ("Earned by your machines", "$2.75", "settlement:req_7"))
    assert "settlement:req_1" not in page
    assert "settlement:req_7" not in shown(client, purse="tokens", kind="exchange")
    file = b"".join(client.get(reverse("billing-export"), {"purse": "tokens"})).decode()
    assert [row["balance_usd"] for row in csv.DictReader(io.StringIO(file))] == ["2.750000000", "3.000000000"]
    told = client.get("/api/v1/billing/entries", {"purse": "tokens"}).json()["data"]
    assert [(one["kind"], one["amount_usd"]) for one in told] == [("settlement", "-0.25"), ("exchange", "3")]
    assert client.get("/api/v1/billing/entries", {"purse": "gold"}).status_code == 400


def test_who_never_had_tokens_is_not_asked_which(client_of, alice, moved):
    assert 'name="purse"' not in shown(client_of(alice))


def test_shows_balance_holds_and_movements(client_of, alice, moved):
    page = shown(client_of(alice))
    assert all(
        figure in page for figure in ("$21.50", "$2.00", "$23.50", "Credit given", "Usage", "Welcome", "$1.50")
    )
    assert "For rival alone" not in page
    assert "$99" not in page


def test_filters_by_kind(client_of, alice, moved):
    page = shown(client_of(alice), kind="credit")
    assert "Welcome" in page
    assert "settlement:req_1" not in page
    assert "No movement of this kind" in shown(client_of(alice), kind="refund")


def test_turns_pages(client_of, alice, acme, as_alice):
    for number in range(51):
        credits.give(acme, as_alice, NANOS_PER_USD, purpose=f"gift-{number:02d}", reason=f"Gift {number:02d}")
    client = client_of(alice)
    first = shown(client)
    assert "Gift 50" in first
    assert "Gift 00" not in first
    older = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "Gift 00" in client.get(reverse("billing") + older).content.decode()


def test_what_was_used_is_told_without_what_was_bought_or_is_older(acme, as_alice):
    wallet, revenue = ensure_account(kinds.WALLET, acme), ensure_account(kinds.REVENUE)

    def settle(*nanos: int) -> None:
        for number, amount in enumerate(nanos):
            business_id, kind = f"s:{amount}:{number}", "settlement" if amount > 0 else "rerating"
            post(Draft(business_id, kind, {wallet.pk: -amount, revenue.pk: amount}))

    credits.give(acme, as_alice, NANOS_PER_USD, purpose="a", reason="A")
    settle(700, 20)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("ALTER TABLE ledger_transfer DISABLE TRIGGER ledger_transfer_append_only")
        cursor.execute("UPDATE ledger_transfer SET posted_at = posted_at - interval '40 days'")
        cursor.execute("ALTER TABLE ledger_transfer ENABLE ALWAYS TRIGGER ledger_transfer_append_only")
    now = timezone.now()
    assert statements.used(wallet.pk, now - timedelta(days=30), now) == 0
    settle(5, -2, 11)
    credits.give(acme, as_alice, NANOS_PER_USD, purpose="b", reason="B")
    settle(3)
    assert statements.used(wallet.pk, now - timedelta(days=30), now) == 5 - 2 + 11 + 3
    assert statements.used(wallet.pk, now - timedelta(days=50), now) == 720 + 5 - 2 + 11 + 3
    assert statements.used(None, now, now) == 0


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "²", ""])
def test_a_place_that_is_none_is_the_first_page(client_of, alice, moved, before):
    assert "Welcome" in shown(client_of(alice), before=before)


def test_the_export_has_every_digit(client_of, alice, moved):
    text = b"".join(client_of(alice).get(reverse("billing-export"))).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["kind"], row["amount_usd"], row["balance_usd"]) for row in rows] == [
        ("settlement", "-1.500000000", "23.500000000"),
        ("credit", "25.000000000", "25.000000000"),
    ]


def test_a_formula_in_the_export_is_none(client_of, alice, acme, as_alice):
    credits.give(acme, as_alice, 1, purpose="x", reason="=HYPERLINK(1)")
    assert "'=HYPERLINK" in b"".join(client_of(alice).get(reverse("billing-export"))).decode()


def test_the_export_is_whole_however_many_batches_it_takes(client_of, alice, moved, monkeypatch):
    whole = b"".join(client_of(alice).get(reverse("billing-export")))
    monkeypatch.setattr(billing, "_AT_ONCE", 1)
    assert b"".join(client_of(alice).get(reverse("billing-export"))) == whole
    of_a_kind = b"".join(client_of(alice).get(reverse("billing-export") + "?kind=credit")).decode()
    assert [row["kind"] for row in csv.DictReader(io.StringIO(of_a_kind))] == ["credit"]


def test_without_stripe_it_says_how_credits_come(client_of, alice, acme):
    page = shown(client_of(alice))
    assert "gives them by hand" in page
    assert "Test mode" not in page


def test_a_top_up_leads_to_the_payment_page_and_back(client_of, alice, acme, paying):
    client = client_of(alice)
    assert "Test mode" in shown(client)
    response = client.post(reverse("billing-top-up"), {"amount_usd": "30"})
    top_up = TopUp.objects.get()
    assert (response.status_code, response["Location"]) == (302, top_up.checkout_url)
    assert top_up.checkout_url.startswith(f"{paying.url}/pay/")
    ordered = AuditEvent.objects.of(acme).get(action="billing.top_up_ordered")
    assert (ordered.before, ordered.object_id, ordered.actor_label) == (None, top_up.public_id, alice.email)
    assert "on its way" in shown(client, paid=top_up.public_id)


def test_a_top_up_out_of_bounds_is_refused_beside_its_field(client_of, alice, acme, paying):
    response = client_of(alice).post(reverse("billing-top-up"), {"amount_usd": "1"})
    assert response.status_code == 422
    assert 'role="alert"' in response.content.decode()
    assert not TopUp.objects.exists()


def test_while_the_payment_service_is_away_nothing_is_ordered(client_of, alice, acme, paying, settings):
    settings.STRIPE_BASE_URL = "http://127.0.0.1:9"
    response = client_of(alice).post(reverse("billing-top-up"), {"amount_usd": "30"})
    assert response.status_code == 422
    assert "does not answer" in response.content.decode()
    assert not TopUp.objects.exists()


def test_the_portal_is_a_click_away(client_of, alice, acme, paying):
    response = client_of(alice).post(reverse("billing-portal"))
    assert response["Location"].startswith(f"{paying.url}/portal/")


def test_only_who_may_pay_orders(client_of, carol, bob, acme, paying):
    for user in (carol, bob):
        assert client_of(user).post(reverse("billing-top-up"), {"amount_usd": "30"}).status_code == 403
        assert client_of(user).get(reverse("billing")).status_code == 403
    assert not TopUp.objects.exists()


def test_what_was_given_back_after_a_review_is_in_words(client_of, alice, acme):
    wallet, promo = ensure_account(kinds.WALLET, acme), ensure_account(kinds.PROMO)
    post(Draft("clawback:1", CLAWBACK, {promo.pk: -NANOS_PER_USD, wallet.pk: NANOS_PER_USD}, reason="Case case_1"))
    page = shown(client_of(alice), kind=CLAWBACK)
    assert page.count("Given back after a review") == 2  # the filter, and the movement
    assert "Case case_1" in page


def test_invoices_are_paged(client_of, alice, acme):
    client = client_of(alice)
    now = timezone.now()
    TopUp.objects.bulk_create(
        TopUp(
            org=acme, public_id=f"top_{number:02d}", cents=500, state=TopUp.PAID, payment_id=f"pi_{number}",
            received_cents=500, paid_at=now - timedelta(days=number),
        )
        for number in range(26)
    )  # fmt: skip

    def listed(**query: object) -> list[str]:
        return re.findall(r"billing/invoices/(top_\d+)\"", shown(client, **query))

    pages = [listed(invoices=number) for number in (1, 2, 3)]
    assert [one for page in pages for one in page] == [f"top_{number:02d}" for number in range(26)]
    assert listed() == listed(invoices="x") == pages[0]
    assert listed(invoices="999999") == []
