"""The planner: who is tried, in which order, and why the others are not."""

from __future__ import annotations

import time
from collections import Counter

import msgspec
import pytest

from common.errors import (
    CodedError,
    ContextLengthExceeded,
    InvalidRequest,
    ModelNotFound,
    NoProviderAvailable,
    ProviderNotAllowed,
    UnsupportedParameter,
)
from providers.schema import EMBEDDINGS, parse
from providers.targets import Credential, Price
from providers.transport import Deadlines
from routing.health import FAILURES_IN_A_ROW, Health
from routing.legs import RouteTarget
from routing.planner import Planner
from routing.snapshots import RouteRecord
from tests.routing.builders import call, snapshot, target


@pytest.fixture
def health():
    return Health()


@pytest.fixture
def planner(health):
    return Planner(health, Deadlines())


def names(plan) -> list[str]:
    return [candidate.target.connection_slug for candidate in plan.candidates]


def reasons(plan_or_error) -> dict[str, str]:
    if isinstance(plan_or_error, CodedError):
        return {item["target"]: item["reason"] for item in plan_or_error.metadata["rejected"]}
    return {item.target: item.reason for item in plan_or_error.rejected}


def test_priority_goes_first(planner):
    plan = planner.plan(call(), snapshot(target("b", priority=20), target("a", priority=10)), 0)
    assert names(plan) == ["a", "b"]


def test_cheapest_counts_prompt_and_expected_output(planner):
    dear_in = target("dear-in", price=Price(9_000_000_000, 1_000_000_000))
    dear_out = target("dear-out", price=Price(1_000_000_000, 9_000_000_000))
    unpriced = target("unpriced", price=None)
    both = snapshot(dear_in, dear_out, unpriced, strategy="cheapest")
    long_prompt = planner.plan(call(size=400_000, max_tokens=10), both, 0)
    long_answer = planner.plan(call(size=40, max_tokens=4000), both, 0)
    assert names(long_prompt) == ["dear-out", "dear-in", "unpriced"]
    assert names(long_answer) == ["dear-in", "dear-out", "unpriced"]


def test_fastest_follows_what_was_measured(planner, health):
    a, b = target("a"), target("b")
    both = snapshot(a, b, strategy="fastest")
    health.speed(a.id).note(0.1, 0, 0)
    health.speed(b.id).note(0.2, 0, 0)
    assert names(planner.plan(call(), both, 0)) == ["a", "b"]
    for _ in range(10):
        health.speed(a.id).note(1.0, 0, 0)
    assert names(planner.plan(call(), both, 0)) == ["b", "a"]


def test_weights_over_ten_thousand(planner):
    both = snapshot(target("a", weight=70), target("b", weight=30), target("c", weight=0), strategy="weighted")
    first = Counter(names(planner.plan(call(), both, 0))[0] for _ in range(10_000))
    assert abs(first["a"] - 7000) <= 10
    assert first["c"] == 0
    assert reasons(planner.plan(call(), both, 0)) == {"c/m": "weight_zero"}


def test_round_robin_takes_turns(planner):
    three = snapshot(
        target("a", priority=1), target("b", priority=2), target("c", priority=3), strategy="round_robin"
    )
    assert [names(planner.plan(call(), three, 0))[0] for _ in range(6)] == ["a", "b", "c"] * 2


def test_round_robin_takes_turns_among_equals_and_within_a_tier(planner):
    a, b, later = target("a"), target("b"), target("later")
    legs = (RouteTarget("a/m"), RouteTarget("b/m"), RouteTarget("later/m", tier=1))
    shot = snapshot(a, b, later, routes=(RouteRecord("r", "round_robin", legs),))
    assert [names(planner.plan(call("r"), shot, 0)) for _ in range(4)] == [
        ["a", "b", "later"],
        ["b", "a", "later"],
    ] * 2


def test_least_busy(planner, health):
    a, b = target("a"), target("b")
    health.speed(a.id).in_flight = 3
    assert names(planner.plan(call(), snapshot(a, b, strategy="least_busy"), 0)) == ["b", "a"]


def test_sticky_stays_with_one_and_moves_little(planner):
    four = [target(slug) for slug in "abcd"]
    sessions = [f"user-{number}" for number in range(400)]

    def places(targets):
        shot = snapshot(*targets, strategy="sticky")
        return {session: names(planner.plan(call(user=session), shot, 0))[0] for session in sessions}

    before, again, after = places(four), places(four), places(four[:3])
    assert before == again
    assert {place for session, place in before.items() if place != after[session]} == {"d"}


def test_the_requests_own_wishes(planner):
    a, b, c = target("a", priority=1), target("b", priority=2), target("c", priority=3)
    all_three = snapshot(a, b, c)
    assert names(planner.plan(call(provider={"order": ["c", "b"]}), all_three, 0)) == ["c", "b", "a"]
    only = planner.plan(call(provider={"only": ["b"]}), all_three, 0)
    assert names(only) == ["b"]
    assert reasons(only) == {"a/m": "not_wanted", "c/m": "not_wanted"}
    assert names(planner.plan(call(provider={"ignore": ["a"]}), all_three, 0)) == ["b", "c"]
    strict = call(provider={"order": ["c"], "allow_fallbacks": False})
    assert names(planner.plan(strict, all_three, 0)) == ["c"]


def test_who_denies_collection_is_served_where_nothing_is_kept(planner):
    mute, open_, unknown = (
        target("mute", options={"data_collection": "deny"}),
        target("open", options={"data_collection": "allow"}),
        target("unknown"),
    )
    own, guest = target("own", place="own"), target("guest", place="guest")
    everybody = snapshot(mute, open_, unknown, own, guest)
    plan = planner.plan(call(provider={"data_collection": "deny"}), everybody, 0)
    assert set(names(plan)) == {"mute", "own"}
    assert set(reasons(plan).values()) == {"may_collect"}
    assert set(names(planner.plan(call(provider={"zdr": True}), everybody, 0))) == {"mute", "own"}
    assert len(names(planner.plan(call(provider={"data_collection": "allow"}), everybody, 0))) > 2
    with pytest.raises(ProviderNotAllowed):
        planner.plan(call(provider={"data_collection": "deny"}), snapshot(unknown), 0)


def test_quantizations_that_the_request_takes(planner):
    eight, sixteen = (target(word, options={"quantization": word}) for word in ("fp8", "bf16"))
    three = snapshot(eight, sixteen, target("untold"))
    for wish, served in (({"fp8", "int4"}, {"fp8"}), ({"fp8", "bf16"}, {"fp8", "bf16"}), ({"unknown"}, {"untold"})):
        plan = planner.plan(call(provider={"quantizations": sorted(wish)}), three, 0)
        assert set(names(plan)) == served
        assert set(reasons(plan).values()) == {"other_quantization"}
    with pytest.raises(ProviderNotAllowed):
        planner.plan(call(provider={"quantizations": ["fp32"]}), three, 0)


@pytest.mark.parametrize("wish", [{"preferred_max_latency": 0.5}, {"preferred_min_throughput": 50}])
def test_who_is_known_to_be_slower_than_preferred_goes_last(planner, health, wish):
    slow, quick, unknown = target("slow", priority=1), target("quick", priority=2), target("unknown", priority=3)
    health.speed(slow.id).note(2.0, 20, 4.0)
    health.speed(quick.id).note(0.1, 200, 1.1)
    three = snapshot(slow, quick, unknown)
    assert names(planner.plan(call(), three, 0)) == ["slow", "quick", "unknown"]
    assert names(planner.plan(call(provider=wish), three, 0)) == ["quick", "unknown", "slow"]
    named = call(provider=wish | {"order": ["slow"]})
    assert names(planner.plan(named, three, 0)) == ["slow", "quick", "unknown"]


def test_max_price(planner):
    dear, cheap, unknown = target("dear", price=Price(5 * 10**9, 0)), target("cheap"), target("unknown", price=None)
    plan = planner.plan(call(provider={"max_price": {"prompt": "2"}}), snapshot(dear, cheap, unknown), 0)
    assert names(plan) == ["cheap"]
    assert reasons(plan) == {"dear/m": "too_expensive", "unknown/m": "price_unknown"}


def test_suffixes_say_which_go_first_and_which_may_go(planner):
    cheap, dear = target("cheap", priority=9), target("dear", priority=1, price=Price(10**10, 10**10))
    both = snapshot(cheap, dear)
    assert names(planner.plan(call("m:floor"), both, 0)) == ["cheap", "dear"]
    with pytest.raises(NoProviderAvailable) as caught:
        planner.plan(call("m:local"), both, 0)
    assert set(reasons(caught.value).values()) == {"not_local"}
    own = target("own", place="own")
    assert names(planner.plan(call("m:private"), snapshot(cheap, own), 0)) == ["own"]


def test_capabilities(planner):
    able, unable, unknown = (
        target("able", capabilities=frozenset({"tools"})),
        target("unable", capabilities=frozenset({"vision"})),
        target("unknown"),
    )
    wish = call(tools=[{"type": "function"}])
    plan = planner.plan(wish, snapshot(able, unable, unknown), 0)
    assert set(names(plan)) == {"able", "unknown"}
    strict = call(tools=[{"type": "function"}], provider={"require_parameters": True})
    assert names(planner.plan(strict, snapshot(able, unable, unknown), 0)) == ["able"]


def test_an_embedding_model_serves_no_chat(planner):
    with pytest.raises(InvalidRequest) as caught:
        planner.plan(call(), snapshot(target("a", kind="embedding")), 0)
    assert reasons(caught.value) == {"a/m": "wrong_kind"}
    assert caught.value.param == "model"


def test_what_the_request_itself_rules_out_is_no_outage(planner):
    short, deaf = target("short", context_tokens=100), target("deaf", capabilities=frozenset({"vision"}))
    tools = {"tools": [{"type": "function"}]}
    for wish, targets, kind, param in (
        (call(size=50_000), [short], ContextLengthExceeded, "messages"),
        (call(**tools), [deaf], UnsupportedParameter, "tools"),
        (call(**tools, size=50_000), [short, deaf], UnsupportedParameter, "tools"),
        (call(provider={"only": ["nobody"]}), [short, deaf], ProviderNotAllowed, "provider"),
        (call(provider={"max_price": {"prompt": "0.1"}}), [short, deaf], ProviderNotAllowed, "provider"),
        (call(provider={"ignore": ["deaf"]}, size=50_000), [short, deaf], ContextLengthExceeded, "messages"),
    ):
        with pytest.raises(kind) as caught:
            planner.plan(wish, snapshot(*targets), 0)
        assert (caught.value.param, caught.value.retry_after_s) == (param, None)
        assert reasons(caught.value).keys() == {one.name for one in targets}


def test_where_another_could_serve_later_it_is_an_outage_all_the_same(planner, health):
    short, able = target("short", context_tokens=100), target("able")
    health.cool_down(able.id, able.credentials[0].id, 0, 30)
    with pytest.raises(NoProviderAvailable) as caught:
        planner.plan(call(size=50_000), snapshot(short, able), 0)
    assert caught.value.retry_after_s == pytest.approx(30)


def test_a_chat_model_embeds_when_it_was_found_to(planner):
    able, unable = target("able", capabilities=frozenset({"chat", "embeddings"})), target("unable")
    wish = parse(EMBEDDINGS, {"model": "m", "input": "hi"}, request_id="req_1", body_bytes=40)
    plan = planner.plan(wish, snapshot(able, unable), 0)
    assert (names(plan), reasons(plan)) == (["able"], {"unable/m": "wrong_kind"})


def test_a_prompt_far_beyond_the_context(planner):
    short, long = target("short", context_tokens=1000), target("long", context_tokens=100_000)
    plan = planner.plan(call(size=50_000), snapshot(short, long), 0)
    assert names(plan) == ["long"]
    assert reasons(plan) == {"short/m": "context_too_short"}


def test_names_resolve_route_then_model_then_pin(planner):
    a, b = target("a", "m"), target("b", "n")
    route = RouteRecord("m-route", "priority", (RouteTarget("b/n", tier=0), RouteTarget("m", tier=1)))
    shot = snapshot(a, b, routes=(route,))
    routed = planner.plan(call("m-route"), shot, 0)
    assert (names(routed), routed.route) == (["b", "a"], "m-route")
    assert names(planner.plan(call("n"), shot, 0)) == ["b"]
    assert names(planner.plan(call("a/m"), shot, 0)) == ["a"]


def test_fallback_models_come_after(planner):
    shot = snapshot(target("a", "m"), target("b", "n"))
    assert names(planner.plan(call("m", models=["n", "unknown"]), shot, 0)) == ["a", "b"]
    assert names(planner.plan(call("unknown", models=["n"]), shot, 0)) == ["b"]


def test_an_unknown_name_brings_near_ones(planner):
    with pytest.raises(ModelNotFound) as caught:
        planner.plan(call("gpt-4o-minni"), snapshot(target("a", "gpt-4o-mini")), 0)
    assert caught.value.metadata["near"][0] == "gpt-4o-mini"


def test_a_cooling_key_gives_way_to_another(planner, health):
    keys = (Credential(1001, "one", ()), Credential(1002, "two", ()))
    both = target("a", credentials=keys)
    health.cool_down(both.id, 1001, 0, 30)
    plan = planner.plan(call(), snapshot(both), 1)
    assert [key.public_id for key in plan.candidates[0].credentials] == ["two"]


def test_all_cooling_says_when(planner, health):
    a, b = target("a"), target("b")
    health.cool_down(a.id, a.credentials[0].id, 0, 30)
    health.cool_down(b.id, b.credentials[0].id, 0, 12)
    with pytest.raises(NoProviderAvailable) as caught:
        planner.plan(call(), snapshot(a, b), 2)
    assert caught.value.retry_after_s == pytest.approx(10)
    assert set(reasons(caught.value).values()) == {"cooling_down"}


def _break(health, broken, now=0.0):
    for _ in range(FAILURES_IN_A_ROW):
        health.breaker(broken.id, broken.credentials[0].id).failed(now)


def test_an_open_breaker_is_skipped_and_named(planner, health):
    a, b = target("a", priority=1), target("b", priority=2)
    _break(health, a)
    plan = planner.plan(call(), snapshot(a, b), 1)
    assert names(plan) == ["b"]
    assert reasons(plan) == {"a/m": "breaker_open"}


def test_the_last_target_is_never_ejected(planner, health):
    a, b = target("a", priority=1), target("b", priority=2)
    _break(health, a)
    _break(health, b)
    assert names(planner.plan(call(), snapshot(a, b), 1)) == ["a", "b"]


def test_a_target_that_needs_a_key_and_has_none(planner):
    with pytest.raises(NoProviderAvailable) as caught:
        planner.plan(call(), snapshot(target("a", credentials=(), options={"needs_key": "yes"})), 0)
    assert reasons(caught.value) == {"a/m": "no_key"}


def test_a_drill_holds_a_target_or_all_of_a_connection_down_and_ends_by_itself(planner):
    a, b = target("a", priority=1), target("b", priority=2)
    both = snapshot(a, b)
    for name in ("a", "a/m"):
        drilled = msgspec.structs.replace(both, drills={name: time.time() + 60})
        plan = planner.plan(call(), drilled, 0)
        assert (names(plan), reasons(plan)) == (["b"], {"a/m": "drill"})
    over = msgspec.structs.replace(both, drills={"a": time.time() - 0.001})
    assert names(planner.plan(call(), over, 0)) == ["a", "b"]
