"""In a browser, against the double of Stripe: a card is saved, tops up by itself, and earnings are paid out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone
from playwright.sync_api import Page, expect

from billing import autotopup, payouts
from tests.billing.payees import DOLLAR, earn
from tests.e2e.conftest import keep, violations
from tests.fakes.payments import KEY, SECRET, PaymentDouble
from tests.stack import GatewayProcess

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def double() -> Iterator[PaymentDouble]:
    with PaymentDouble() as double:
        yield double


@pytest.fixture(scope="module")
def gateway(django_db_setup, django_db_blocker, double, tmp_path_factory) -> Iterator[GatewayProcess]:
    """With somebody to pay at."""
    folder = tmp_path_factory.mktemp("paying")
    with override_settings(STATIC_ROOT=folder / "staticfiles"):
        call_command("collectstatic", interactive=False, verbosity=0)
    with django_db_blocker.unblock():
        stripe = {"STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRET": SECRET, "STRIPE_BASE_URL": double.url}
        process = GatewayProcess(folder, egress_allow="127.0.0.1:9", EMAIL_VERIFICATION="optional", **stripe)
        process._environment["PUBLIC_URL"] = process.url
        process.start()
        yield process
        process.stop()


@pytest.fixture
def stripe(double, gateway, settings) -> PaymentDouble:
    """For what workers do, which the test does itself."""
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
    settings.STRIPE_BASE_URL, settings.PUBLIC_URL = double.url, gateway.url
    return double


def look(page: Page, name: str) -> None:
    keep(page, name, full_page=True)
    assert violations(page) == []


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "th")])
def test_a_card_tops_up_by_itself(page, sign_in, tenant, stripe, theme, language):
    sign_in(theme=theme)
    page.goto("/billing")
    page.get_by_role("button", name="Save a card").click()
    page.get_by_role("button", name="Save this card").click()
    expect(page.get_by_text("Visa •••• 4242")).to_be_visible()
    page.get_by_role("link", name="Set up").click()
    page.get_by_label("When less than this is available").fill("15")
    look(page, f"billing-auto-top-up-{theme}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Buys $25.00 when less than $15.00 is available.")).to_be_visible()
    autotopup.run()
    sign_in(theme=theme, language=language)
    page.reload()
    expect(page.get_by_text("$25.00").first).to_be_visible()
    look(page, f"billing-paying-{theme}")


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "th")])
def test_earnings_are_paid_out(page, sign_in, tenant, stripe, theme, language):
    earn(tenant.org, 40 * DOLLAR)
    sign_in(theme=theme)
    page.goto("/payouts")
    page.get_by_label("Country where you are paid").fill("TH")
    page.get_by_role("button", name="Set up through Stripe").click()
    page.get_by_role("button", name="Give test details").click()
    expect(page.get_by_text("Verified", exact=True)).to_be_visible()
    page.get_by_role("button", name="Pay out now").click()
    expect(page.get_by_text("The payout is on its way.")).to_be_visible()
    payouts.send_due(now=timezone.now() + timedelta(days=1))
    sign_in(theme=theme, language=language)
    page.reload()
    look(page, f"payouts-{theme}")
    page.locator("table a").first.click()
    expect(page.get_by_text("$40.00").first).to_be_visible()
    look(page, f"payouts-statement-{theme}")
