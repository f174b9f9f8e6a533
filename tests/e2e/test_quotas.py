"""A budget is set in the browser, spent by a call, refused when it is used up, and the page says so."""

from __future__ import annotations

import httpx
import pytest

from accounts.limits import set_limits
from accounts.scopes import ORGANISATION
from metering.models import BudgetWindow
from tests.e2e.conftest import keep, overflows, violations
from tests.ownredis import eventually

BODY = {"model": "sim-chat", "max_tokens": 10, "messages": [{"role": "user", "content": "[[tokens:10]]"}]}


def call(tenant, gateway) -> int:
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    answer = httpx.post(f"{gateway.base_url}/chat/completions", json=BODY, headers=headers, timeout=30)
    return answer.status_code


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "th")])
def test_a_budget_from_the_form_to_the_refusal(page, sign_in, tenant, gateway, theme, language):
    sign_in(theme=theme, language=language)
    page.goto("/quotas")
    page.locator('main a[href="/quotas/organisation"]').first.click()
    page.locator("#id_monthly_tokens").fill("300")
    keep(page, f"quotas-edit {theme} {language}")
    assert not violations(page)
    page.locator("main button.btn-primary, main form .card-foot button").last.click()
    page.wait_for_url("**/quotas")
    eventually(lambda: call(tenant, gateway) == 402, 30)
    eventually(lambda: BudgetWindow.objects.get(org=tenant.org).account.held == 0, 10)
    budgets = [{"tokens": 300, "window": "monthly"}, {"amount_usd": "25", "window": "daily"}]
    set_limits(tenant.org, tenant.actor, ORGANISATION, wishes={"rpm": 600, "budgets": budgets})
    page.goto("/quotas")
    keep(page, f"quotas {theme} {language}")
    assert page.locator("svg[role=img]").count() == 3  # of two budgets and a rate
    assert not violations(page)
    assert not overflows(page)
    page.set_viewport_size({"width": 390, "height": 844})
    for address in ("/quotas", "/quotas/organisation", "/"):
        page.goto(address)
        keep(page, f"phone quotas {address} {theme}")
        assert not violations(page), address
        assert not overflows(page), address
