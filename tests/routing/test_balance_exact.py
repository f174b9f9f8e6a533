"""Many at once on one balance over three processes: what is charged never passes what was there, to the last unit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from decimal import Decimal

import aiohttp
import httpx
import pytest
from django.db import connection as database
from django.db import transaction

from accounts.audit import Actor
from accounts.organizations import set_spending
from billing import credits
from billing.models import Charge
from common.ids import new_id
from common.money import NANOS_PER_USD
from ledger import kinds
from ledger.accounts import AccountIds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.invariants import reconcile
from ledger.models import Account
from ledger.transfers import post
from providers.models import Connection
from providers.services import create_connection, delete_connection
from routing.services import put_route
from tests.fakes.upstream import FaultUpstream, Manners
from tests.ownredis import eventually
from tests.stack import GatewayProcess, Tenant, make_tenant

RUNS = 20 if os.environ.get("SHAREAI_LONG") == "1" else 1
WORKERS, COUNT = 3, 500
BOUND_TOKENS = 10
BOUND_NANOS = NANOS_PER_USD // 10
TEN = 10 * NANOS_PER_USD
TOKEN_NANOS = BOUND_NANOS // BOUND_TOKENS
MODELS = ["sold-chat", "unpriced-chat", "gift-chat", "own-chat"]
URL = "/v1/chat/completions"
SYSTEM = Actor.system("tests")


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultUpstream]:
    with FaultUpstream(name="A", models=MODELS, manners=Manners(first_token_s=0.05)) as server:
        yield server


@pytest.fixture(scope="module")
def fleet(django_db_setup, django_db_blocker, upstream, tmp_path_factory) -> Iterator[GatewayProcess]:
    with django_db_blocker.unblock():
        allow = f"127.0.0.1:{upstream.port}"
        process = GatewayProcess(tmp_path_factory.mktemp("fleet"), egress_allow=allow, workers=WORKERS)
        process.start()
        yield process
        process.stop()


@pytest.fixture(scope="module")
def sold(fleet, django_db_blocker, upstream) -> Iterator[Connection]:
    """The platform's own, at a cent for each token of an answer; a second model has no price."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.EGRESS_ALLOW", f"127.0.0.1:{upstream.port}")
        made = create_connection(
            None, SYSTEM, preset="custom", name=f"Sold {new_id('x')}", base_url=upstream.base_url,
            api_keys=["upstream-key"], models=[
                {"id": "sold-chat", "input_price": "0", "output_price": "10000"},
                {"id": "unpriced-chat"},
                {"id": "gift-chat", "input_price": "0", "output_price": "0"},
            ],
        )  # fmt: skip
        yield made
        delete_connection(made, SYSTEM)


@pytest.fixture
def acme(sold, django_db_blocker, settings, upstream) -> Iterator[Tenant]:
    settings.EGRESS_ALLOW = f"127.0.0.1:{upstream.port}"
    with django_db_blocker.unblock():
        yield make_tenant()
        assert reconcile() == []


def give(tenant: Tenant, nanos: int) -> None:
    credits.give(tenant.org, SYSTEM, nanos, purpose=new_id("gift"), reason="Test")


def body(tokens: int, model: str = "sold-chat", **more) -> dict:
    content = f"[[tokens:{tokens}]]"
    messages = [{"role": "user", "content": content}]
    return {"model": model, "max_tokens": BOUND_TOKENS, "messages": messages} | more


def ask(fleet: GatewayProcess, tenant: Tenant, tokens: int = 1, **more) -> httpx.Response:
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    return httpx.post(fleet.url + URL, json=body(tokens, **more), headers=headers, timeout=30)


async def ask_at_once(
    fleet: GatewayProcess, tenant: Tenant, tokens: int, count: int = COUNT, most: int = COUNT
) -> list[tuple[int, dict]]:
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    timeout = aiohttp.ClientTimeout(total=90)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        gate = asyncio.Semaphore(most)

        async def one() -> tuple[int, dict]:
            async with gate, session.post(fleet.url + URL, json=body(tokens), headers=headers) as response:
                return response.status, await response.json()

        return await asyncio.gather(*(one() for _ in range(count)))


def wallet_of(tenant: Tenant) -> Account:
    return Account.objects.get(org=tenant.org, kind=kinds.WALLET)


def settled(tenant: Tenant, spent: int) -> bool:
    wallet = wallet_of(tenant)
    return (wallet.balance, wallet.held) == (TEN - spent, 0)


def written_off(tenant: Tenant) -> int:
    return sum(Charge.objects.filter(org_id=tenant.org.pk).values_list("written_off_nanos", flat=True))


def told(answers: list[tuple[int, dict]]) -> list[dict]:
    return [answer["error"]["metadata"] for status, answer in answers if status == 402]


@pytest.mark.parametrize("run", range(RUNS))
def test_ten_dollars_admit_exactly_a_hundred_requests_of_ten_cents(fleet, acme, run):
    give(acme, TEN)
    answers = asyncio.run(ask_at_once(fleet, acme, BOUND_TOKENS))
    assert {status for status, _ in answers} == {200, 402}
    assert sum(status == 200 for status, _ in answers) == 100
    assert all(Decimal(one["left_usd"]) < Decimal(one["needed_usd"]) for one in told(answers))
    eventually(lambda: settled(acme, TEN), 20)
    assert written_off(acme) == 0


@pytest.mark.parametrize("run", range(RUNS))
def test_nearly_all_of_it_can_be_spent_by_requests_that_cost_a_tenth_of_their_bound(fleet, acme, run):
    give(acme, TEN)
    served = 0
    for count, at_once in ((COUNT, COUNT), (500, 20), (300, 10), (60, 3)):
        answers = asyncio.run(ask_at_once(fleet, acme, 1, count, at_once))
        served += sum(status == 200 for status, _ in answers)
    assert served * TOKEN_NANOS >= TEN * 95 // 100
    eventually(lambda: settled(acme, served * TOKEN_NANOS), 20)
    assert written_off(acme) == 0


def test_an_empty_balance_is_refused_with_what_is_left_and_where_there_is_more(fleet, acme):
    give(acme, BOUND_NANOS - 1)
    answer = ask(fleet, acme)
    assert answer.status_code == 402
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_balance")
    about = error["metadata"]
    assert (about["left_usd"], about["needed_usd"]) == ("0.099999999", "0.100000000")
    assert about["top_up_url"].endswith("/billing")
    assert about["top_up_url"] in error["message"]
    give(acme, 1)
    assert ask(fleet, acme).status_code == 200


def test_a_longer_answer_is_shortened_to_what_is_left(fleet, acme, upstream):
    give(acme, 20 * TOKEN_NANOS)
    answer = ask(fleet, acme, 100, max_tokens=100)
    assert (answer.status_code, answer.headers["x-shareai-max-tokens-clamped"]) == (200, "20")
    assert answer.json()["usage"]["completion_tokens"] == 20
    eventually(lambda: wallet_of(acme).balance == 0, 10)


def test_what_is_free_is_served_without_money(fleet, acme, upstream):
    acme.connect(upstream.base_url, [{"id": "own-chat", "input_price": "0", "output_price": "100"}])
    assert ask(fleet, acme, model="own-chat").status_code == 200
    assert ask(fleet, acme, model="gift-chat").status_code == 200
    assert ask(fleet, acme, model="sold-chat").status_code == 402


def test_a_route_with_both_falls_through_to_the_free_target(fleet, acme, sold, upstream):
    own = acme.connect(upstream.base_url, [{"id": "own-chat"}])
    legs = [{"target": f"{sold.slug}/sold-chat"}, {"target": f"{own.slug}/own-chat"}]
    put_route(acme.org, acme.actor, "both", {"strategy": "priority", "targets": legs})
    answer = ask(fleet, acme, model="both")
    assert (answer.status_code, answer.headers["x-shareai-target"]) == (200, f"{own.slug}/own-chat")
    give(acme, TEN)
    answer = ask(fleet, acme, model="both")
    assert (answer.status_code, answer.headers["x-shareai-target"]) == (200, f"{sold.slug}/sold-chat")


def test_without_a_known_price_nothing_is_begun(fleet, acme):
    give(acme, TEN)
    answer = ask(fleet, acme, model="unpriced-chat")
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "price_unknown")


def earn(tenant: Tenant, nanos: int) -> Account:
    """As settlement does for somebody whose machines earn tokens."""
    with transaction.atomic(), database.cursor() as cursor:
        AccountIds().ensure(cursor.cursor, [(kinds.TOKENS, tenant.org.pk)])
    account = Account.objects.get(org=tenant.org, kind=kinds.TOKENS)
    if nanos:
        promo = ensure_account(kinds.PROMO)
        post(Draft(f"earned:{new_id('x')}", "earning", {promo.pk: -nanos, account.pk: nanos}))
    return account


def paid(tenant: Tenant) -> tuple[int, int]:
    """By tokens, and by credits."""
    charges = Charge.objects.filter(org_id=tenant.org.pk)
    tokens = sum(charges.values_list("tokens_nanos", flat=True))
    return tokens, sum(charges.values_list("charge_nanos", flat=True)) - tokens


def served_with(fleet: GatewayProcess, tenant: Tenant) -> int:
    return ask(fleet, tenant, 10).status_code


def test_tokens_pay_first_and_credits_the_rest(fleet, acme):
    earn(acme, 15 * TOKEN_NANOS)
    give(acme, 10 * TOKEN_NANOS)
    eventually(lambda: served_with(fleet, acme) == 200, 5)
    assert served_with(fleet, acme) == 200
    eventually(lambda: paid(acme) == (15 * TOKEN_NANOS, 5 * TOKEN_NANOS), 10)
    assert wallet_of(acme).balance == 5 * TOKEN_NANOS
    assert served_with(fleet, acme) == 402


def test_credits_pay_first_where_the_organisation_wants_it(fleet, acme):
    set_spending(acme.org, acme.actor, spending_order="credits_first")
    earn(acme, 10 * TOKEN_NANOS)
    give(acme, 15 * TOKEN_NANOS)
    assert [served_with(fleet, acme) for _ in range(3)] == [200, 200, 402]
    eventually(lambda: paid(acme) == (5 * TOKEN_NANOS, 15 * TOKEN_NANOS), 10)


@pytest.mark.parametrize(("unlike", "served"), [([], 402), (["sold-chat"], 200)])
def test_credits_are_no_backup_of_models_for_which_they_are_not_meant(fleet, acme, unlike, served):
    set_spending(acme.org, acme.actor, credit_backup=False, credit_backup_unlike=unlike)
    earn(acme, 10 * TOKEN_NANOS)
    give(acme, TEN)
    assert [served_with(fleet, acme) for _ in range(2)] == [200, served]
