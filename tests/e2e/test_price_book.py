"""The staff's price book as a person sees it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from accounts.audit import Actor
from accounts.models import User
from common.ids import new_id
from providers.services import create_connection, delete_connection
from tests.e2e.conftest import violations

SYSTEM = Actor.system("tests")


@pytest.fixture
def sold(tenant):
    models = [{"id": "fast", "input_price": "1", "output_price": "4"}, {"id": "mystery-7"}]
    made = create_connection(
        None, SYSTEM, preset="custom", name=f"Vendor {new_id('x')}", base_url="https://llm.example/v1",
        api_keys=["sk-upstream-0123456789abcdef"], models=models,
    )  # fmt: skip
    yield made
    delete_connection(made, SYSTEM)


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "th")])
def test_staff_change_a_price_and_read_what_it_was(page, sign_in, tenant, sold, theme, language):
    User.objects.filter(pk=tenant.owner.pk).update(is_staff=True)
    sign_in(User.objects.get(pk=tenant.owner.pk), theme, language)
    page.goto("/prices")
    assert violations(page) == []
    page.get_by_role("link", name="fast").click()
    page.fill("input[name=input_price]", "2.5")
    page.locator("main form button").last.click()
    history = page.locator("[aria-labelledby=history] table")
    expect(history.locator("tbody tr")).to_have_count(2)
    expect(history).to_contain_text(re.compile(r"\$2\.50.*\$1\.00", re.S))
    assert violations(page) == []
