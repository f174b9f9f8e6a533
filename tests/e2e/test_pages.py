"""Every page in both themes and in both languages, on a desktop and on a phone: no error, no barrier, no overflow."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from accounts.audit import Actor
from accounts.models import User
from billing import freezing, payees, vouchers
from providers.services import create_connection, delete_connection
from routing.drafts import save_draft
from routing.services import put_route
from tests.billing.payees import earn
from tests.e2e.conftest import keep, overflows, violations

SYSTEM = Actor.system("tests")
PAGES = (
    "/", "/playground", "/keys", "/keys/new", "/models", "/routes", "/routes/new", "/routes/show/fast",
    "/routes/edit/fast",
    "/route-tester", "/route-tester?model=sim-chat", "/smoke",
    "/activity", "/activity?range=custom", "/activity/same", "/activity/insight", "/activity/exports",
    "/activity/statements", "/logs", "/members", "/members/invite", "/quotas", "/quotas/organisation",
    "/providers", "/providers/new", "/providers/new/azure", "/audit", "/billing", "/billing/auto-top-up",
    "/billing/details", "/payouts", "/payouts/bank", "/earnings", "/earnings/estimate", "/earnings/programme",
    "/earnings/recognition", "/earnings/prices", "/causes", "/contributors", "/settings", "/settings/transfer",
    "/settings/configuration", "/settings/content/purge", "/settings/delete", "/cache", "/cache/new",
    "/accounts/email/", "/accounts/2fa/", "/accounts/2fa/webauthn/", "/accounts/sessions/",
    "/accounts/password/change/",
)  # fmt: skip
ENTRANCE = ("/accounts/login/", "/accounts/signup/", "/accounts/login/code/", "/accounts/password/reset/")
LOOKS = (("light", "en"), ("dark", "th"))
"""Each theme and each language once: what a theme can break, a language does not mend."""


@pytest.fixture
def traffic(tenant, gateway, upstreams):
    """An answer at the first attempt, one at the second, and a refusal; a route with versions and a draft."""
    call(tenant, gateway, "sim-chat")
    upstreams[0].fail("500")
    call(tenant, gateway, "sim-chat")
    upstreams[0].heal()
    call(tenant, gateway, "unheard-of")
    legs = [{"target": "upstream-a/sim-chat"}, {"target": "sim-chat", "tier": 1}]
    put_route(tenant.org, tenant.actor, "fast", {"targets": legs[:1]})
    rules = [
        'when tag is "batch" and data class is "internal" use weighted of "sim-chat" weight 3, "upstream-b/sim-chat" '
        'then on timeout or rate_limit fall back to priority of "upstream-a/sim-chat"',
        'when header "x-team" is "red" and time is from 22:00 to 06:00 use cheapest of "sim-chat"',
    ]
    put_route(tenant.org, tenant.actor, "fast", {"targets": legs, "rules": rules[:1]})
    draft = {"targets": legs, "strategy": "cheapest", "rules": rules[::-1]}
    save_draft(tenant.org, tenant.actor, "fast", draft)
    return tenant


def call(tenant, gateway, model):
    httpx.post(
        f"{gateway.base_url}/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "hello"}]},
        headers={"Authorization": f"Bearer {tenant.api_key}"},
        timeout=30,
    )


@pytest.mark.parametrize(("theme", "language"), LOOKS)
def test_every_page_is_sound(page, sign_in, traffic, theme, language):
    sign_in(theme=theme, language=language)
    faults = {}
    for address in PAGES:
        page.goto(address)
        page.wait_for_function("document.fonts.status === 'loaded'")
        keep(page, f"{address.strip('/') or 'home'} {theme} {language}")
        if found := violations(page) + (["overflow"] if overflows(page) else []):
            faults[address] = found
    assert not faults


@pytest.mark.parametrize(("theme", "language"), LOOKS)
def test_the_entrance_is_sound(page, gateway, theme, language):
    cookies = {"theme": theme, "django_language": language}
    page.context.add_cookies([{"name": name, "value": value, "url": gateway.url} for name, value in cookies.items()])
    faults = {}
    for address in ENTRANCE:
        page.goto(address)
        keep(page, f"{address.strip('/')} {theme} {language}")
        if found := violations(page) + (["overflow"] if overflows(page) else []):
            faults[address] = found
    assert not faults


def test_every_page_fits_a_phone(page, sign_in, traffic):
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in(language="th")
    faults = {}
    for address in PAGES:
        page.goto(address)
        keep(page, f"phone {address.strip('/') or 'home'}")
        if found := violations(page) + (["overflow"] if overflows(page) else []):
            faults[address] = found
    assert not faults


STAFF_PAGES = (
    "/prices", "/prices/{model}", "/staff/vouchers", "/staff/vouchers/new", "/staff/vouchers/{voucher}",
    "/staff/payouts", "/staff/payouts/{payout}/paid", "/staff/payouts/{payout}/failed", "/staff/banks/{bank}",
    "/staff/audit", "/staff/needs-a-person",
)  # fmt: skip


@pytest.fixture
def staff(tenant) -> Iterator[dict[str, str]]:
    """Something of everything that staff look at: a price with tiers, a voucher, a payout, a bank."""
    User.objects.filter(pk=tenant.owner.pk).update(is_staff=True)
    tenant.owner.refresh_from_db()
    tiers = [{"above_tokens": 200_000, "input_price": "6", "output_price": "22.5"}]
    price = {"input_price": "3", "output_price": "15", "cache_write_price": "3.75", "price_tiers": tiers}
    sold = create_connection(
        None, SYSTEM, preset="custom", name="Vendor", base_url="https://llm.example/v1",
        api_keys=["sk-upstream-0123456789abcdef"], models=[{"id": f"long-{tenant.org.pk}", **price}],
    ).served_models.get()  # fmt: skip
    voucher = vouchers.make_batch(2, 5 * 10**9, SYSTEM, uses=2, reason="Launch")[0].voucher
    earn(tenant.org, 40 * 10**9)
    payees.set_bank(tenant.org, tenant.actor, payees.Bank("Acme Ltd", "TH00 1234 5678 9012", "BKKBTHBK"))
    payees.verify(tenant.org, SYSTEM, is_right=True)
    payout = freezing.request(tenant.org, tenant.actor)
    yield {
        "model": sold.public_id, "voucher": voucher.public_id, "payout": payout.public_id,
        "bank": tenant.org.public_id,
    }  # fmt: skip
    delete_connection(sold.connection, SYSTEM)


@pytest.mark.parametrize(("theme", "language"), LOOKS)
def test_every_page_of_staff_is_sound(page, sign_in, staff, theme, language):
    sign_in(theme=theme, language=language)
    faults = {}
    for address in STAFF_PAGES:
        for width in (1360, 390):
            page.set_viewport_size({"width": width, "height": 860})
            page.goto(address.format_map(staff))
            keep(page, f"{address.strip('/')} {theme} {language} {width}".replace("/", "-"))
            if found := violations(page) + (["overflow"] if overflows(page) else []):
                faults[address, width] = found
    assert not faults


def test_a_phone_opens_the_navigation(page, sign_in):
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in()
    page.goto("/")
    page.get_by_role("button", name="Open navigation").click()
    page.get_by_role("link", name="Providers", exact=True).click()
    page.wait_for_url("**/providers")
