"""The explanation tells what the planner would do, and does nothing."""

from __future__ import annotations

import time

import msgspec
import pytest

from common.errors import ModelNotFound
from providers.targets import Price
from providers.transport import Deadlines
from routing.explanation import HedgeTold, explain, imagined
from routing.health import FAILURES_IN_A_ROW, Health
from routing.legs import RouteTarget
from routing.planner import Planner
from routing.plans import Hedge
from routing.snapshots import RouteRecord
from tests.routing.builders import call, snapshot, target


@pytest.fixture
def health():
    return Health()


@pytest.fixture
def planner(health):
    return Planner(health, Deadlines())


def test_the_kept_in_their_order_with_cost_and_the_dropped_with_their_reason(planner, health):
    cheap, dear = target("cheap"), target("dear", price=Price(9_000_000_000, 9_000_000_000))
    broken, idle = target("broken"), target("idle", weight=0)
    for _ in range(FAILURES_IN_A_ROW):
        health.breaker(broken.id, broken.credentials[0].id).failed(0)
    health.speed(cheap.id).note(0.25, 0, 0)
    told = explain(planner, health, call(), snapshot(dear, cheap, broken, idle, strategy="cheapest"), 1.0)
    assert [(kept.position, kept.target) for kept in told.candidates] == [(1, "cheap/m"), (2, "dear/m")]
    assert told.candidates[0].first_token_ms == 250.0
    # 100 prompt tokens at 1 USD a million and 400 of the answer at 2.
    assert told.candidates[0].estimated_cost_usd == "0.000900000"
    assert {(one.target, one.reason) for one in told.dropped} == {
        ("broken/m", "breaker_open"),
        ("idle/m", "weight_zero"),
    }
    assert told.refusal is None


def test_the_route_is_named_and_what_lies_beyond_the_last_attempt(planner, health):
    route = RouteRecord("fast", "priority", tuple(RouteTarget(f"{name}/m", tier=n) for n, name in enumerate("abcd")))
    told = explain(planner, health, call("fast"), snapshot(*map(target, "abcd"), routes=(route,)), 0)
    assert (told.route, told.strategy, told.most_attempts) == ("fast", "priority", 3)
    assert [kept.is_within_attempts for kept in told.candidates] == [True, True, True, False]


@pytest.mark.parametrize("down", [["a"], ["a", "b"]])
def test_one_that_two_legs_lead_to_is_dropped_once(planner, health, down):
    route = RouteRecord("fast", "priority", (RouteTarget("a/m"), RouteTarget("m", tier=1)))
    drills = dict.fromkeys(down, time.time() + 60)
    known = msgspec.structs.replace(snapshot(target("a"), target("b"), routes=(route,)), drills=drills)
    told = explain(planner, health, call("fast"), known, 0)
    assert [one.target for one in told.dropped] == [f"{name}/m" for name in down]


def test_what_becomes_of_broken_and_slow_streams(planner, health):
    """`a` can go on because it says so, `c` because nobody says what it can."""
    targets = [
        target("a", capabilities=frozenset({"prefill", "tools"})),
        target("b", capabilities=frozenset({"tools"})),
        target("c"),
    ]
    legs = tuple(RouteTarget(f"{name}/m", tier=n) for n, name in enumerate("abc"))
    calm = RouteRecord("calm", "priority", legs, continue_streams=True, hedge=Hedge(0.25, 5, 10_000_000))
    told = explain(planner, health, call("calm"), snapshot(*targets, routes=(calm,)), 0)
    assert told.continue_streams is True
    assert told.hedge == HedgeTold(250, 5, "0.01")
    assert [kept.can_go_on for kept in told.candidates] == [True, False, True]
    plain = explain(planner, health, call(), snapshot(*targets), 0)
    assert (plain.continue_streams, plain.hedge) == (False, None)


@pytest.mark.parametrize("strategy", ["round_robin", "weighted"])
def test_nobodys_turn_is_taken(planner, health, strategy):
    three = snapshot(*(target(name, weight=n, priority=n) for n, name in enumerate("abc", 1)), strategy=strategy)
    for _ in range(7):
        explain(planner, health, call(), three, 0)
        told = explain(planner, health, call(), three, 0)
        assert told.candidates[0].target == planner.plan(call(), three, 0).candidates[0].target.name


def test_a_call_that_nobody_may_serve_is_explained_as_its_refusal(planner, health):
    told = explain(planner, health, call("m:local"), snapshot(target("a"), target("b")), 0)
    assert (told.refusal.status, told.refusal.code, told.candidates) == (503, "no_provider_available", ())
    assert {one.reason for one in told.dropped} == {"not_local"}


def test_an_unknown_name_is_refused_as_the_call_would_be(planner, health):
    with pytest.raises(ModelNotFound):
        explain(planner, health, call("nope"), snapshot(target("a")), 0)


@pytest.mark.parametrize(
    ("body", "kind"),
    [({"model": "m"}, "chat"), ({"model": "m", "input": "x"}, "embedding"), ({"model": "m", "prompt": "x"}, "chat")],
)
def test_a_model_is_enough_of_a_body(body, kind):
    assert imagined(body, 40).kind == kind


def test_fifty_targets_take_less_than_five_milliseconds_of_processor_time(planner, health):
    fifty = snapshot(*(target(f"t{n}", priority=n) for n in range(50)), strategy="cheapest")
    asked = call()

    def once_s() -> float:
        before = time.process_time()
        explain(planner, health, asked, fifty, 0)
        return time.process_time() - before

    assert min(once_s() for _ in range(20)) < 0.005
