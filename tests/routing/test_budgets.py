"""Budgets through a real gateway of two processes, in front of real upstreams: bound, held, charged, given back."""

from __future__ import annotations

import time

import httpx
import pytest
from django.db.models import Sum

from accounts.limits import set_key_limits, set_limits
from accounts.scopes import MODEL, ORGANISATION
from ledger.invariants import reconcile
from ledger.models import Account, Lease
from metering.models import BudgetWindow
from routing.services import put_route
from tests.ownredis import eventually
from tests.stack import GatewayProcess, Tenant

URL = "/v1/chat/completions"
"""What a token of an answer costs; the prompt is free, so that a request costs what its answer does."""
PRICED = {"input_price": "0", "output_price": "100"}
TOKEN_NANOS = 100_000


def body(tokens: int = 1, **more) -> dict:
    return {"model": "sim-chat", "messages": [{"role": "user", "content": f"[[tokens:{tokens}]]"}]} | more


@pytest.fixture
def acme(tenant: Tenant, upstreams) -> Tenant:
    tenant.connect(upstreams.a.base_url, [{"id": "sim-chat"} | PRICED, {"id": "plain"}])
    tenant.connect(upstreams.b.base_url, [{"id": "other"} | PRICED])
    return tenant


@pytest.fixture
def ask(gateway: GatewayProcess, acme: Tenant):
    """Each on a connection of its own, so that both processes serve."""

    def ask(key: str = "", **more) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or acme.api_key}"}
        return httpx.post(gateway.url + URL, json=body(**more), headers=headers, timeout=30)

    return ask


def give(acme: Tenant, amount_usd: str, *, when_reached: str = "block", scope: str = ORGANISATION, subject: str = ""):
    wishes = {"budgets": [{"amount_usd": amount_usd, "window": "monthly"}], "when_reached": when_reached}
    set_limits(acme.org, acme.actor, scope, subject, wishes=wishes)


def wait_for_snapshots() -> None:
    """Longer than it takes to hear of a change, by a message or by the poll, where a process knows the organisation:
    the first call of a key loads what is then."""
    time.sleep(2.5)


def window_of(acme: Tenant, **about) -> BudgetWindow:
    return BudgetWindow.objects.select_related("account").get(org=acme.org, **about)


def settled(acme: Tenant, spent_tokens: int, **about) -> bool:
    """All that was spent is posted, and nothing is held."""
    window = window_of(acme, **about)
    return (window.allotted - window.account.balance, window.account.held) == (spent_tokens * TOKEN_NANOS, 0)


@pytest.fixture(autouse=True)
def _the_ledger_is_in_order(gateway, django_db_blocker):
    yield
    with django_db_blocker.unblock():
        assert reconcile() == []
        assert (
            Account.objects.filter(kind="budget").aggregate(held=Sum("held"))["held"]
            == (Lease.objects.filter(account__kind="budget").aggregate(held=Sum("amount"))["held"])
        )


def test_a_budget_is_spent_to_its_last_unit_and_not_beyond(acme, ask):
    give(acme, "0.005")  # fifty tokens
    answers = [ask(tokens=10, max_tokens=10) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [402]
    error = answers[-1].json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
    assert answers[-1].headers["x-should-retry"] == "false"
    told = error["metadata"]
    assert (told["scope"], told["window"]) == ("organisation", "monthly")
    assert (told["limit_usd"], told["left_usd"], told["needed_usd"]) == ("0.005000000", "0.000000000", "0.001000000")
    assert told["resets_at"].endswith("-01T00:00:00Z")
    eventually(lambda: settled(acme, 50), 10)


def test_what_a_request_did_not_use_is_there_for_the_next_one_on_any_process(acme, ask):
    give(acme, "0.001")  # ten tokens: one request's bound
    assert [ask(tokens=1, max_tokens=5).status_code for _ in range(6)] == [200] * 6
    eventually(lambda: settled(acme, 6), 10)


def test_an_answer_is_shortened_to_what_is_left_and_the_upstream_is_told(acme, ask, upstreams):
    give(acme, "0.002")  # twenty tokens
    upstreams.a.log.clear()
    answer = ask(tokens=100, max_tokens=100)
    assert (answer.status_code, answer.headers["x-shareai-max-tokens-clamped"]) == (200, "20")
    assert upstreams.a.log.last.body["max_tokens"] == 20
    assert answer.json()["usage"]["completion_tokens"] == 20
    eventually(lambda: settled(acme, 20), 10)
    assert ask(tokens=1, max_tokens=100).status_code == 402


def test_who_does_not_say_how_much_is_bounded_all_the_same(acme, ask, upstreams):
    give(acme, "10")
    answer = ask(tokens=3)
    assert upstreams.a.log.last.body["max_tokens"] == 4096
    assert "x-shareai-max-tokens-clamped" not in answer.headers
    eventually(lambda: settled(acme, 3), 10)


def test_the_key_s_budget_and_the_organisation_s_are_both_charged(acme, ask):
    key, plain = acme.new_key()
    give(acme, "1")
    set_key_limits(key, acme.actor, {"budgets": [{"tokens": 3000, "window": "daily"}]})
    assert ask(plain, tokens=5, max_tokens=5).status_code == 200
    assert ask(plain, tokens=5, max_tokens=5000, model="plain").headers["x-shareai-max-tokens-clamped"]
    refused = ask(plain, tokens=5, max_tokens=5, messages=[{"role": "user", "content": "x" * 3000}])
    assert refused.json()["error"]["metadata"]["scope"] == "key"
    assert ask(tokens=5, max_tokens=5).status_code == 200
    eventually(lambda: settled(acme, 10, scope="organisation"), 10)
    window = window_of(acme, scope="key")
    assert window.allotted - window.account.balance > 10  # prompts count as well


def test_a_failed_request_costs_nothing(acme, ask, upstreams):
    give(acme, "0.001")
    upstreams.a.fail("500")
    assert [ask(tokens=10, max_tokens=10).status_code for _ in range(3)] == [502] * 3
    upstreams.a.heal()
    eventually(lambda: settled(acme, 0), 10)


def test_a_budget_that_warns_lets_pass_and_counts_on(acme, ask):
    give(acme, "0.001", when_reached="warn")
    assert [ask(tokens=10, max_tokens=10).status_code for _ in range(4)] == [200] * 4
    eventually(lambda: settled(acme, 10), 10)
    eventually(lambda: window_of(acme).overrun == 30 * TOKEN_NANOS, 10)


def test_own_machines_only_is_a_refusal_where_there_is_none(acme, ask):
    give(acme, "0.001", when_reached="own_nodes")
    assert [ask(tokens=10, max_tokens=10).status_code for _ in range(2)] == [200, 402]


def test_a_spent_model_is_passed_by_within_its_route(acme, ask):
    legs = [{"target": "upstream-b/other"}, {"target": "upstream-a/sim-chat", "tier": 1}]
    put_route(acme.org, acme.actor, "either", {"targets": legs})
    give(acme, "0.002", scope=MODEL, subject="other")
    served = [ask(model="either", tokens=10, max_tokens=10).headers["x-shareai-target"] for _ in range(3)]
    assert served == ["upstream-b/other"] * 2 + ["upstream-a/sim-chat"]
    eventually(lambda: settled(acme, 20), 10)


def test_a_rule_goes_by_how_much_of_the_budget_is_used(acme, ask, upstreams):
    give(acme, "0.01")  # a hundred tokens
    sentence = 'when budget is over 50 percent use priority of "upstream-b/other"'
    put_route(acme.org, acme.actor, "thrifty", {"targets": [{"target": "upstream-a/sim-chat"}], "rules": [sentence]})

    def served(tokens: int = 1) -> str:
        return ask(tokens=tokens, max_tokens=tokens, model="thrifty").headers["x-shareai-target"]

    assert served(60) == "upstream-a/sim-chat"
    eventually(lambda: served() == "upstream-b/other", 10)


def test_raising_and_lowering_moves_the_difference(acme, ask):
    give(acme, "0.001")
    assert [ask(tokens=10, max_tokens=10).status_code for _ in range(2)] == [200, 402]
    give(acme, "0.002")
    wait_for_snapshots()
    assert [ask(tokens=10, max_tokens=10).status_code for _ in range(2)] == [200, 402]
    give(acme, "0.0005")
    wait_for_snapshots()
    assert ask(tokens=1, max_tokens=1).status_code == 402
    give(acme, "5")
    wait_for_snapshots()
    assert ask(tokens=10, max_tokens=10).status_code == 200
    eventually(lambda: settled(acme, 30), 10)


def test_without_budgets_nothing_is_written_into_the_body(acme, ask, upstreams):
    upstreams.a.log.clear()
    assert ask(tokens=3).status_code == 200
    assert "max_tokens" not in upstreams.a.log.last.body
