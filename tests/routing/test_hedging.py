"""A second target beside a slow first one: who begins first answers, within the bounds of the route."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from time import monotonic

import msgspec
import pytest
from openai import APIStatusError, OpenAI

from metering.models import Usage
from metering.tokens import count_tokens
from metering.usage import HEDGE_LOST
from nodes.fleet import Fleet, Presence
from providers.failures import Kind
from providers.targets import GUEST, Price
from routing.asked import Asked
from routing.failover import RetryBudget, Trail
from routing.flights import Flights
from routing.health import Health
from routing.hedging import Hedger
from routing.plans import Candidate, Hedge, Plan
from routing.services import put_route
from routing.settlement import Settlement
from tests.routing.builders import CALLER, call, target
from tests.routing.conftest import Upstreams
from tests.routing.test_outages import eventually
from tests.stack import GatewayProcess, Tenant

MODEL, ROUTE = "sim-chat", "quick"
PROMPT = "the sea"
BOUNDED = Hedge(0.1, 5, 10_000_000)
HALF = {"after_ms": 80, "most_percent": 50}
"""Every second stream of a process may be hedged."""


@pytest.fixture(scope="module")
def gateway(django_db_setup, django_db_blocker, upstream_servers, tmp_path_factory) -> Iterator[GatewayProcess]:
    """Of one process, which counts for itself."""
    with django_db_blocker.unblock():
        allow = ", ".join(f"127.0.0.1:{upstream.port}" for upstream in upstream_servers)
        process = GatewayProcess(tmp_path_factory.mktemp("hedging"), egress_allow=allow)
        process.start()
        yield process
        process.stop()


@pytest.fixture
def slow(upstreams: Upstreams) -> Iterator[Upstreams]:
    upstreams.a.manners.first_token_s = 3
    yield upstreams
    upstreams.a.manners.first_token_s = 0


def offer(tenant: Tenant, upstreams: Upstreams, hedge: dict | None) -> None:
    for upstream in (upstreams.a, upstreams.b):
        tenant.connect(upstream.base_url, [{"id": MODEL, "input_price": "1", "output_price": "2"}])
    targets = [{"target": f"{connection.slug}/{MODEL}", "tier": n} for n, connection in enumerate(tenant.connections)]
    put_route(tenant.org, tenant.actor, ROUTE, {"targets": targets, "hedge": hedge})


def say(client: OpenAI) -> str:
    messages = [{"role": "user", "content": PROMPT}]
    answer = client.chat.completions.create(model=ROUTE, messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


def rows_of(tenant: Tenant, count: int) -> list[Usage]:
    eventually(lambda: Usage.objects.filter(org_id=tenant.org.pk).count() >= count, 10)
    return list(Usage.objects.filter(org_id=tenant.org.pk).order_by("started_at"))


def test_the_second_answers_and_the_first_is_let_go(client, tenant, slow):
    offer(tenant, slow, HALF)
    assert "from A" in say(client)
    assert "from B" in say(client)
    eventually(lambda: slow.a.log.last.client_left_at is not None, 1)
    row = rows_of(tenant, 2)[-1]
    assert [attempt["outcome"] for attempt in row.attempts] == [HEDGE_LOST, "ok"]
    lost, won = row.attempts
    assert lost["used"]["charged"] is False
    assert (lost["used"]["input_tokens"], lost["used"]["output_tokens"]) == (count_tokens(PROMPT), 0)
    assert lost["used"]["cost_nanos"] == 1_000 * count_tokens(PROMPT)
    assert "used" not in won
    assert row.cost_nanos == 1_000 * row.input_tokens + 2_000 * row.output_tokens
    assert row.output_tokens == slow.b.log.last.sent_tokens
    assert row.target == f"{tenant.connections[1].slug}/{MODEL}"


def test_only_so_many_are_hedged(client, tenant, upstreams):
    upstreams.a.manners.first_token_s = 0.2
    try:
        offer(tenant, upstreams, {"after_ms": 50, "most_percent": 20})
        for _ in range(10):
            say(client)
    finally:
        upstreams.a.manners.first_token_s = 0
    attempts = [attempt for row in rows_of(tenant, 10) for attempt in row.attempts]
    asked = Counter(attempt["target"] for attempt in attempts)
    answered = Counter(attempt["target"] for attempt in attempts if attempt["outcome"] == "ok")
    first, second = (f"{connection.slug}/{MODEL}" for connection in tenant.connections)
    assert asked == {first: 10, second: 2}
    # Who is let go may never have read what it was asked.
    for name, upstream in ((first, upstreams.a), (second, upstreams.b)):
        assert answered[name] <= len(upstream.log.posts) <= asked[name]


@pytest.mark.parametrize(
    "hedge", [None, HALF | {"most_extra_usd": "0.000001"}, {"after_ms": None}], ids=["not set", "too dear", "unknown"]
)
def test_without_leave_nobody_else_is_asked(client, tenant, upstreams, hedge):
    upstreams.a.manners.first_token_s = 0.2
    try:
        offer(tenant, upstreams, hedge)
        for _ in range(3):
            assert "from A" in say(client)
    finally:
        upstreams.a.manners.first_token_s = 0
    assert not upstreams.b.log.posts


def test_one_that_fails_at_once_is_followed_as_ever(client, tenant, upstreams):
    offer(tenant, upstreams, HALF)
    upstreams.a.fail("500")
    assert ["from B" in say(client) for _ in range(2)] == [True, True]
    assert [[a["outcome"] for a in row.attempts] for row in rows_of(tenant, 2)] == [["server_error", "ok"]] * 2


def test_when_the_second_fails_the_first_still_answers(client, tenant, upstreams):
    upstreams.a.manners.first_token_s = 0.4
    try:
        offer(tenant, upstreams, HALF)
        upstreams.b.fail("500")
        assert ["from A" in say(client) for _ in range(2)] == [True, True]
    finally:
        upstreams.a.manners.first_token_s = 0
    row = rows_of(tenant, 2)[-1]
    assert [attempt["outcome"] for attempt in row.attempts] == ["server_error", "ok"]


def test_when_both_fail_the_caller_hears_of_both(client, tenant, upstreams):
    offer(tenant, upstreams, HALF)
    upstreams.a.fail("500")
    upstreams.b.fail("500")
    with pytest.raises(APIStatusError) as caught:
        say(client)
    assert len(caught.value.body["metadata"]["attempts"]) == 2


def _asked() -> Asked:
    one = call(stream=True)
    trail = Trail(0.0)
    settlement = Settlement(one, CALLER, trail, print, monotonic)
    return Asked(one, Plan("quick", "priority", (), ()), trail, settlement, None)


ASKED = _asked()


@pytest.mark.parametrize(
    ("org_id", "price", "may"),
    [
        (1, Price(1_000_000_000, 1_000_000_000), True),
        (None, Price(1_000_000_000, 1_000_000_000), False),
        (None, Price(0, 0), True),
        (None, None, True),
    ],
    ids=["one's own", "sold", "for nothing", "without a price"],
)
def test_what_others_are_paid_for_is_not_asked_besides(hedger, org_id, price, may):
    one = msgspec.structs.replace(target("a", price=price), org_id=org_id)
    assert hedger._may_be_asked(ASKED, Candidate(one, one.credentials), BOUNDED, monotonic()) is may


@pytest.fixture
def hedger() -> Hedger:
    fleet = Fleet()
    fleet.note(Presence("node_1", in_flight=1), monotonic())
    return Hedger(None, Health(), fleet, RetryBudget(lambda: 0), Flights())


@pytest.mark.parametrize(("slots", "may"), [(1, False), (2, True)])
def test_a_guest_machine_is_asked_for_a_free_slot_only(hedger, slots, may):
    machine = target("n", place=GUEST, node="node_1", slots=slots, credentials=())
    assert hedger._may_be_asked(ASKED, Candidate(machine, (None,)), BOUNDED, monotonic()) is may


def test_a_target_whose_breaker_is_open_is_not_asked(hedger):
    one = target("a")
    breaker = hedger._health.breaker(one.id, one.credentials[0].id)
    for _ in range(5):
        breaker.failed(monotonic())
    assert not hedger._may_be_asked(ASKED, Candidate(one, one.credentials), BOUNDED, monotonic())


def test_the_wait_is_the_95th_percentile_once_it_is_known(hedger):
    one, hedge = target("a"), Hedge(None, 5, 10_000)
    assert hedger._after_s(hedge, one) is None
    speed = hedger._health.speed(one.id)
    for hundredths in range(1, 101):
        speed.note(hundredths / 100, 10, 1.0)
    assert hedger._after_s(hedge, one) == 0.96


@pytest.mark.parametrize(
    ("after", "may"), [(None, True), (Kind.FIRST_BYTE_TIMEOUT, True), (Kind.RATE_LIMITED, False)]
)
def test_a_fallback_of_another_cause_is_not_asked(hedger, after, may):
    one = target("a")
    candidate = Candidate(one, one.credentials, after=None if after is None else frozenset({after}))
    assert hedger._may_be_asked(ASKED, candidate, BOUNDED, monotonic()) is may


def test_the_first_target_s_prompt_is_bounded_too(client, tenant, slow):
    """It is the one that loses."""
    slow.a.manners.first_token_s = 0.2
    tenant.connect(slow.a.base_url, [{"id": MODEL, "input_price": "1000", "output_price": "2"}])
    tenant.connect(slow.b.base_url, [{"id": MODEL, "input_price": "1", "output_price": "2"}])
    targets = [{"target": f"{connection.slug}/{MODEL}", "tier": n} for n, connection in enumerate(tenant.connections)]
    hedge = HALF | {"most_extra_usd": "0.001"}
    put_route(tenant.org, tenant.actor, ROUTE, {"targets": targets, "hedge": hedge})
    assert ["from A" in say(client) for _ in range(3)] == [True] * 3
    assert not slow.b.log.posts
