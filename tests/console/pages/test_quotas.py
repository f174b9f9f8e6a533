"""Quotas: what is shown of limits and budgets, and how they are set without a line of JavaScript."""

from __future__ import annotations

import asyncio

import pytest
from django.core import mail
from django.db import connection, transaction
from django.test import TestCase
from django.urls import reverse
from django.utils import timezone

from accounts import limits
from accounts.limits import set_limits
from accounts.models import AuditEvent, Limit, Membership
from accounts.roles import VIEWER
from accounts.scopes import KEY, NODE, ORGANISATION
from accounts.sources import load_limits
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.transfers import post
from metering.alerts import watch_budgets
from metering.budgets import budgets_of
from metering.in_use import InUse, in_use
from metering.models import BudgetWindow
from metering.windows import open_window
from nodes.services import revoke_node
from tests.console.pages import machines
from tests.metering.test_gate import charged, gates

pytestmark = pytest.mark.django_db

USD = 1_000_000_000


def give(acme, actor, usd: str, **more) -> None:
    budgets = [{"amount_usd": usd, "window": "monthly"}]
    limits.set_limits(acme, actor, ORGANISATION, wishes={"budgets": budgets, **more})


def spend(acme, usd: float) -> BudgetWindow:
    """As if requests had cost so much."""
    (budget,) = budgets_of(acme.pk, load_limits(acme.pk)).organization
    with transaction.atomic(), connection.cursor() as cursor:
        window = open_window(cursor, budget, timezone.now())
    source = ensure_account(kinds.ALLOTMENTS, reference=f"org:{acme.pk}")
    nanos = round(usd * USD)
    name = f"test:{window.account_id}:{AuditEvent.objects.count()}:{nanos}"
    post(Draft(name, "test", {window.account_id: -nanos, source.pk: nanos}))
    return BudgetWindow.objects.get(account_id=window.account_id)


def test_a_form_sets_rates_and_budgets_and_shows_them_again(as_browser, alice, acme):
    browser = as_browser(alice)
    address = reverse("quotas-organisation")
    said = {"rpm": "60", "monthly_usd": "$1,250.50", "daily_tokens": "100,000", "when_reached": "own_nodes"}
    assert browser.post(address, said).status_code == 302
    found = limits.find_limits(acme, ORGANISATION)
    assert found["rpm"] == 60
    assert found["budgets"] == [
        {"tokens": 100_000, "window": "daily"},
        {"amount_usd": "1250.5", "window": "monthly"},
    ]
    assert found["when_reached"] == "own_nodes"
    shown = browser.get(address).content.decode()
    assert 'value="1250.5"' in shown
    assert 'value="100000"' in shown
    assert "own machines only" in browser.get(reverse("quotas")).content.decode()


@pytest.mark.parametrize(("field", "text"), [("rpm", "-1"), ("monthly_usd", "much"), ("daily_tokens", "1.5")])
def test_a_mistake_is_told_beside_its_field_and_keeps_what_was_said(as_browser, alice, acme, field, text):
    answer = as_browser(alice).post(reverse("quotas-organisation"), {field: text, "when_reached": "block"})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert f'value="{text}"' in answer.content.decode()
    assert limits.find_limits(acme, ORGANISATION) == limits.NONE


def test_a_key_s_budget_is_set_at_its_own_address(as_browser, alice, acme, key):
    said = {"lifetime_usd": "5", "when_reached": "block"}
    assert as_browser(alice).post(reverse("quotas-edit", args=[KEY, key.public_id]), said).status_code == 302
    assert limits.KeyFigures(acme).of(key)["budgets"] == [{"amount_usd": "5", "window": "lifetime"}]


def test_a_machine_s_rates_are_set_from_its_page_and_it_has_no_budgets(as_browser, alice, bob, acme, as_alice):
    node = machines.new_node(acme, as_alice)
    address, detail = (
        reverse("quotas-edit", args=[NODE, node.public_id]),
        reverse("nodes-detail", args=[node.public_id]),
    )
    browser = as_browser(alice)
    assert address in browser.get(reverse("quotas")).content.decode()
    assert address in browser.get(detail).content.decode()
    assert "monthly_usd" not in browser.get(address).content.decode()
    assert browser.post(address, {"concurrency": "4", "rpm": "", "monthly_usd": "5"}).status_code == 302
    assert limits.find_limits(acme, NODE, node.public_id) == {**limits.NONE, "concurrency": 4, "budgets": []}
    event = AuditEvent.objects.of(acme).latest("sequence")
    assert (event.action, event.object_type, event.object_label) == ("limits.updated", NODE, node.name)
    assert address not in as_browser(bob).get(detail).content.decode()
    assert browser.post(address, {"concurrency": "many"}).status_code == 422
    revoke_node(node, as_alice)
    assert browser.get(address).status_code == 404


def test_bars_tell_how_much_is_used_and_the_marks(as_browser, alice, acme, as_alice):
    give(acme, as_alice, "10")
    spend(acme, 8.5)
    shown = as_browser(alice).get(reverse("quotas")).content.decode()
    assert "$8.50" in shown
    assert "85 % used; marks at 80 and 100 %" in shown
    assert "A budget is nearly used up" in shown


def test_bars_tell_how_much_of_each_rate_is_in_use(as_browser, alice, acme, as_alice, key):
    set_limits(acme, as_alice, ORGANISATION, wishes={"rpd": 10, "concurrency": 5})
    limits.set_key_limits(key, as_alice, {"rpd": 4})
    asyncio.run(admit([bound for found in in_use(Limit.objects.of(acme)).values() for bound in found], 3))
    shown = " ".join(as_browser(alice).get(reverse("quotas")).content.decode().split())
    assert [shown.count(f'"{percent} % in use now') for percent in (30, 75, 0)] == [1, 1, 1]
    assert "requests/day" in shown


async def admit(rates: list[InUse], times: int) -> None:
    async with gates(1) as (gate,):
        for _ in range(times):
            assert (await gate.admit(charged([rate.bound for rate in rates]))).binding < 0


def test_every_page_tells_of_a_budget_that_is_nearly_used(as_browser, alice, bob, acme, as_alice):
    give(acme, as_alice, "10")
    spend(acme, 8.5)
    watch_budgets()
    browser = as_browser(alice)
    assert "A budget is nearly used up" in browser.get(reverse("keys")).content.decode()
    assert browser.get(reverse("quotas")).content.decode().count("A budget is nearly used up") == 1
    Membership.objects.of(acme).filter(user=bob).update(role=VIEWER)
    assert "A budget is nearly used up" not in as_browser(bob).get(reverse("keys")).content.decode()
    set_limits(acme, as_alice, ORGANISATION, wishes={"budgets": [{"amount_usd": "100", "window": "monthly"}]})
    assert "A budget is nearly used up" not in browser.get(reverse("keys")).content.decode()


def test_owners_and_admins_are_told_once_at_each_mark(acme, as_alice, alice, carol):
    give(acme, as_alice, "10")
    spend(acme, 7.9)
    assert watch_budgets() == 0
    spend(acme, 0.2)
    with_mails(1)
    assert mail.outbox[0].to == [alice.email]
    assert "81 %" in mail.outbox[0].subject
    with_mails(1)
    spend(acme, 1.9)
    with_mails(2)
    assert "used up" in mail.outbox[1].subject
    events = AuditEvent.objects.of(acme).filter(action__startswith="budget.").order_by("sequence")
    assert [(event.action, event.after["percent"]) for event in events] == [
        ("budget.nearly_reached", 81),
        ("budget.reached", 100),
    ]


def with_mails(count: int) -> None:
    """Mails leave when their transaction is committed, which within a test it never is."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        watch_budgets()
    assert len(mail.outbox) == count
