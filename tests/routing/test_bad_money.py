"""Figures and events of money that cannot be true, through a real server: told to who asks, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from accounts.audit import Actor
from billing import autotopup, cards, crediting, credits, events, payouts
from billing.models import Charge, StripeEvent, Unsettled
from common.ids import new_id
from common.money import NANOS_PER_USD
from demo.payments import cards as test_cards
from demo.payments import connect
from demo.payments.deliveries import signature
from demo.payments.state import Object
from ledger import kinds
from ledger.invariants import reconcile
from ledger.models import Account
from metering.models import Usage
from providers.services import create_connection, delete_connection
from tests.billing.payees import DOLLAR, account_at, earn
from tests.fakes.ollama import Ollama, ollama
from tests.fakes.payments import KEY, SECRET, PaymentDouble
from tests.fakes.upstream import FaultUpstream
from tests.ownredis import eventually
from tests.routing.test_faults import BAD_USAGE
from tests.stack import GatewayProcess, Tenant, make_tenant

SYSTEM = Actor.system("tests")
SAID_TOKENS, BOUND_TOKENS = 5, 10
TOKEN_NANOS = NANOS_PER_USD // 100
TEN = 10 * NANOS_PER_USD
NO_JSON = "bad-usage-nan"
"""NaN in a body makes it no JSON; in a stream the one event is left out."""
ONLY_CACHED = "bad-usage-cached"
"""More cached than asked is cut to what was asked, and the rest is believed."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultUpstream]:
    with FaultUpstream(name="A", models=["sold-chat"]) as server:
        yield server


@pytest.fixture(scope="module")
def boaster() -> Iterator[Ollama]:
    with ollama("boaster") as server:
        server.usage = {"prompt_tokens": 40_000_000, "completion_tokens": 40_000_000, "total_tokens": 80_000_000}
        yield server


@pytest.fixture(scope="module")
def double() -> Iterator[PaymentDouble]:
    with PaymentDouble() as double:
        yield double


@pytest.fixture(scope="module")
def server(
    django_db_setup, django_db_blocker, upstream, boaster, double, tmp_path_factory
) -> Iterator[GatewayProcess]:
    stripe = {"STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRET": SECRET, "STRIPE_BASE_URL": double.url}
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        allow = f"127.0.0.1:{upstream.port},{boaster.address}"
        for name, value in {**stripe, "EGRESS_ALLOW": allow}.items():
            patch.setattr(f"django.conf.settings.{name}", value)
        model = {"id": "sold-chat", "input_price": "0", "output_price": "10000"}
        sold = create_connection(
            None, SYSTEM, preset="custom", name="At a cent", base_url=upstream.base_url, api_keys=["upstream-key"],
            models=[model],
        )  # fmt: skip
        process = GatewayProcess(tmp_path_factory.mktemp("server"), egress_allow=allow, **stripe)
        process.start()
        yield process
        process.stop()
        delete_connection(sold, SYSTEM)


@pytest.fixture
def acme(server) -> Iterator[Tenant]:
    yield make_tenant()
    assert reconcile() == []


@pytest.fixture
def api(server, acme) -> Iterator[httpx.Client]:
    """The management API as acme's owner has it."""
    headers = {"Authorization": f"Bearer {acme.new_key(scopes=['manage'])[1]}"}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=headers, timeout=30) as client:
        yield client


def wallet_of(tenant: Tenant) -> tuple[int, int]:
    """What is in it, and what of it is held."""
    account = Account.objects.filter(org=tenant.org, kind=kinds.WALLET).first()
    return (account.balance, account.held) if account else (0, 0)


def ask(server: GatewayProcess, tenant: Tenant, *, stream: bool = False) -> httpx.Response:
    messages = [{"role": "user", "content": f"[[tokens:{SAID_TOKENS}]]"}]
    body = {"model": "sold-chat", "max_tokens": BOUND_TOKENS, "messages": messages, "stream": stream}
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    return httpx.post(f"{server.base_url}/chat/completions", json=body, headers=headers, timeout=30)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", BAD_USAGE)
def test_usage_that_cannot_be_true_costs_what_the_gateway_counted(server, acme, upstream, fault, stream):
    credits.give(acme.org, SYSTEM, TEN, purpose=new_id("gift"), reason="Test")
    upstream.fail(fault)
    try:
        answer = ask(server, acme, stream=stream)
    finally:
        upstream.heal()
    eventually(lambda: Usage.objects.filter(org_id=acme.org.pk).exists(), 10)
    used = Usage.objects.get(org_id=acme.org.pk)
    charged = sum(Charge.objects.filter(org_id=acme.org.pk).values_list("charge_nanos", flat=True))
    if fault == NO_JSON and not stream:
        assert (answer.status_code, answer.json()["error"]["code"], charged) == (502, "bad_upstream_response", 0)
    else:
        assert answer.status_code == 200
        assert used.usage_source == ("reported" if fault == ONLY_CACHED else "counted")
        assert charged == used.output_tokens * TOKEN_NANOS
        assert 0 < used.output_tokens <= BOUND_TOKENS
    eventually(lambda: wallet_of(acme) == (TEN - charged, 0), 10)
    assert not Unsettled.objects.filter(org_id=acme.org.pk).exists()


@pytest.fixture
def liar(server, boaster) -> Iterator[str]:
    """A model of the platform whose server writes more than it was asked for, and says that it was more still."""
    model = {"id": "boaster", "input_price": "1000", "output_price": "10000"}
    sold = create_connection(
        None, SYSTEM, preset="custom", name=f"Boaster {new_id('x')}", base_url=f"http://{boaster.address}/v1",
        api_keys=["upstream-key"], models=[model],
    )  # fmt: skip
    yield f"{sold.slug}/boaster"
    delete_connection(sold, SYSTEM)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_nobody_pays_more_than_was_held_whatever_an_upstream_says(server, acme, liar, stream):
    credits.give(acme.org, SYSTEM, TEN, purpose=new_id("gift"), reason="Test")
    body = {"model": liar, "max_tokens": 2, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
    sent = json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {acme.api_key}", "Content-Type": "application/json"}
    answer = httpx.post(f"{server.base_url}/chat/completions", content=sent, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    eventually(lambda: Usage.objects.filter(org_id=acme.org.pk).exists(), 10)
    used = Usage.objects.get(org_id=acme.org.pk)
    assert (used.input_tokens, used.output_tokens, used.usage_source) == (len(sent), 2, "bounded")
    assert used.cost_nanos == len(sent) * TOKEN_NANOS // 10 + 2 * TOKEN_NANOS
    charge = Charge.objects.get(org_id=acme.org.pk)
    assert (charge.charge_nanos, charge.written_off_nanos) == (used.cost_nanos, 0)
    eventually(lambda: wallet_of(acme) == (TEN - used.cost_nanos, 0), 10)


def order(api: httpx.Client) -> dict:
    answer = api.post("/billing/top-ups", json={"amount_usd": "20"})
    assert answer.status_code == 201, answer.text
    return answer.json()


def found(api: httpx.Client, top_up: dict) -> dict:
    return next(one for one in api.get("/billing/top-ups").json()["data"] if one["id"] == top_up["id"])


def test_a_card_that_is_declined_pays_nothing_and_another_one_still_can(server, acme, api, double):
    ordered = order(api)
    page = httpx.post(ordered["checkout_url"], data={"act": "pay", "card": test_cards.DECLINED})
    assert "Your card was declined" in page.text
    assert (found(api, ordered)["state"], wallet_of(acme)) == ("pending", (0, 0))
    httpx.post(ordered["checkout_url"], data={"act": "pay", "card": test_cards.GOOD})
    deliver_all(server, double)
    assert (found(api, ordered)["state"], wallet_of(acme)) == ("paid", (20 * DOLLAR, 0))


def test_a_card_that_is_declined_when_nobody_is_there_is_told_and_nothing_is_credited(server, acme, api, double):
    back = httpx.post(cards.open_page(acme.org), data={"act": "pay", "card": test_cards.DECLINED_LATER})
    assert cards.adopt_from(back.headers["Location"].partition("card=")[2])
    rule = {"enabled": True, "threshold_usd": "10", "amount_usd": "20", "monthly_cap_usd": "50"}
    assert api.put("/billing/auto-top-up", json=rule).status_code == 200
    autotopup.run()
    told = api.get("/billing/auto-top-up").json()
    assert (told["failures"], told["failure"], told["enabled"]) == (1, "insufficient_funds", True)
    assert told["next_attempt_at"] is not None
    (tried,) = api.get("/billing/top-ups").json()["data"]
    assert (tried["state"], tried["failure"], wallet_of(acme)) == ("failed", "insufficient_funds", (0, 0))
    refusal = ask(server, acme).json()["error"]
    assert refusal["code"] == "insufficient_balance"
    assert refusal["metadata"]["top_up_url"] in refusal["message"]


def deliver(server: GatewayProcess, event: Object) -> int:
    body = json.dumps(event)
    headers = {"Stripe-Signature": signature(body, SECRET), "Content-Type": "application/json"}
    return httpx.post(f"{server.url}/billing/stripe", content=body, headers=headers, timeout=30).status_code


def deliver_all(server: GatewayProcess, double: PaymentDouble) -> None:
    assert {deliver(server, event) for event in double.events} == {200}
    assert events.handle_waiting() == 0


def test_a_webhook_for_another_account_is_none_of_ours(server, acme, api, double):
    paid = order(api)
    httpx.post(paid["checkout_url"], data={"act": "pay"})
    for event in double.events:
        assert deliver(server, event | {"id": new_id("evt"), "account": "acct_other"}) == 200
    assert events.handle_waiting() == 0
    assert wallet_of(acme) == (0, 0)
    deliver_all(server, double)
    assert wallet_of(acme) == (20 * DOLLAR, 0)


def test_a_payment_of_another_shop_on_the_same_account_credits_nobody(server, acme, double):
    payment = double.state.take(
        amount=2000, currency="usd", customer=None, metadata={}, method="pm_1", invoiced=False
    )
    event = {"id": new_id("evt"), "type": "payment_intent.succeeded", "data": {"object": {"id": payment["id"]}}}
    assert deliver(server, event) == 200
    assert events.handle_waiting() == 0
    assert StripeEvent.objects.get(pk=event["id"]).outcome == crediting.NOT_OURS
    assert wallet_of(acme) == (0, 0)


@pytest.mark.parametrize("cents", [0, -2000, 10**18])
def test_a_payment_of_an_amount_that_cannot_be_true_credits_nobody_and_holds_up_nobody(
    server, acme, api, double, cents
):
    odd, ordinary = order(api), order(api)
    for one in (odd, ordinary):
        httpx.post(one["checkout_url"], data={"act": "pay"})
    double.state.of("payment", metadata={"top_up": odd["id"]})[0]["amount_received"] = cents
    deliver_all(server, double)
    assert (found(api, odd)["state"], found(api, ordinary)["state"]) == ("pending", "paid")
    assert wallet_of(acme) == (20 * DOLLAR, 0)
    assert StripeEvent.objects.filter(outcome=crediting.IMPLAUSIBLE).exists()


def test_a_destination_that_is_not_verified_gets_nothing_and_the_money_stays(server, acme, api, double):
    earn(acme.org, 40 * DOLLAR)
    account = account_at(double, acme.org, connect.RESTRICTED)
    account.state = account.INCOMPLETE
    account.save()
    refusal = api.post("/payouts")
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (409, "payout_refused")
    assert refusal.json()["error"]["metadata"]["reason"] == "not_verified"
    assert "stays where it is" in refusal.json()["error"]["message"]
    assert api.get("/payouts/destination").json()["payable_usd"] == "40"
    assert double.state.of("transfer", destination=account.stripe_id) == []
    connect.set_status(double.state, account.stripe_id, connect.ACTIVE)
    account.state = account.READY
    account.save()
    assert api.post("/payouts").status_code == 201
    payouts.send_due()
    assert [one["amount"] for one in double.state.of("transfer", destination=account.stripe_id)] == [4000]
