"""What a route would have done with past requests, as figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from providers.targets import OWN, Price
from routing.legs import RouteTarget
from routing.sentences import parsed
from routing.simulation import Met, Past, simulate
from routing.snapshots import RouteRecord
from tests.routing.builders import snapshot, target

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEAR, CHEAP = Price(10**9, 2 * 10**9), Price(10**8, 10**8)


def past(*met: Met, minutes: int = 0, **wishes) -> Past:
    ordinary = {
        "at": NOON + timedelta(minutes=minutes),
        "key_id": "",
        "endpoint": "chat/completions",
        "stream": True,
        "failed": not met or met[-1].outcome != "ok",
        "input_tokens": 1000,
        "cached_tokens": 0,
        "output_tokens": 100,
        "cost_nanos": 1_200_000,
        "first_token_ms": met[-1].took_ms if met and met[-1].outcome == "ok" else None,
        "met": met,
    }
    return Past(**ordinary | wishes)


def ok(name: str, took_ms: float = 200.0) -> Met:
    return Met(f"{name}/m", "ok", took_ms)


def shot(*names: str, rules: tuple[str, ...] = (), strategy: str = "priority", **prices):
    targets = [target(name, price=prices.get(name, DEAR)) for name in "abc"]
    legs = tuple(RouteTarget(f"{name}/m") for name in names)
    return snapshot(*targets, routes=(RouteRecord("fast", strategy, legs, rules=tuple(map(parsed, rules))),))


def test_what_was_is_told_as_it_was_and_the_same_route_would_do_the_same():
    requests = [past(ok("a")), past(ok("a", 400.0))]
    report = simulate("fast", shot("a", "b"), requests)
    assert report.was == report.would
    assert (report.requests, report.was.cost_nanos, report.was.first_token_ms) == (2, 2_400_000, 300.0)
    assert [(share.target, share.was, share.would) for share in report.targets] == [("a/m", 2, 2)]


def test_a_drill_that_is_on_says_nothing_of_the_past():
    ever = datetime.now(UTC).timestamp() + 3600
    drilled = msgspec.structs.replace(shot("a", "b"), drills={"a/m": ever, "b": ever})
    assert simulate("fast", drilled, [past(ok("a"))]) == simulate("fast", shot("a", "b"), [past(ok("a"))])


def test_a_cheaper_target_costs_what_it_costs():
    report = simulate("fast", shot("a", "b", strategy="cheapest", b=CHEAP), [past(ok("a")), past(ok("b", 900.0))])
    assert report.would.cost_nanos == 2 * (1000 * 10**8 + 100 * 10**8) // 10**6
    assert report.would.first_token_ms == 900.0


def test_a_target_fails_as_often_as_it_did_and_what_comes_after_it_answers():
    failed = Met("a/m", "server_error", 100.0)
    requests = [past(ok("a")), past(failed, ok("b")), past(ok("b")), past(ok("b"))]
    report = simulate("fast", shot("a"), requests)
    assert (
        report.would.failures == 1 + 2 * 0.5
    )  # one was seen to fail, two would meet a target that failed half the time
    both = simulate("fast", shot("a", "b"), requests)
    assert both.would.failures == 0


def test_a_fallback_comes_after_its_causes_only():
    failed = Met("a/m", "server_error", 100.0)
    rule = 'use priority of "a/m" then on timeout fall back to priority of "b/m"'
    report = simulate("fast", shot("a", rules=(rule,)), [past(failed, ok("b"))])
    assert report.would.failures == 1
    rescued = rule.replace("timeout", "server_error")
    assert simulate("fast", shot("a", rules=(rescued,)), [past(failed, ok("b"))]).would.failures == 0


def test_a_request_that_failed_may_be_answered_and_then_costs_what_others_do():
    lost = past(Met("a/m", "server_error", 100.0), input_tokens=0, output_tokens=0, cost_nanos=0)
    report = simulate("fast", shot("b"), [past(ok("b")), lost])
    assert (report.was.failures, report.would.failures) == (1, 0)
    assert report.would.cost_nanos == 2 * 1_200_000


def test_rules_are_counted_and_hours_are_those_of_the_request():
    rule = 'when time is from 12:00 to 12:30 use priority of "b/m"'
    report = simulate("fast", shot("a", rules=(rule,)), [past(ok("a")), past(ok("a"), minutes=45)])
    assert report.rules == {"0": 1, "1": 1}
    assert report.unmeasured == 1


def test_nobody_who_may_serve_is_a_failure_and_own_machines_are_there():
    private = RouteRecord("fast", "priority", (RouteTarget("a/m"),), private=True)
    cloud = snapshot(target("a"), routes=(private,))
    assert simulate("fast", cloud, [past(ok("a"))]).would.failures == 1
    own = target("a", place=OWN, node="node_1", transport="tunnel", credentials=(), slots=1, price=None)
    report = simulate("fast", snapshot(own, routes=(private,)), [past(ok("a"))])
    assert (report.would.failures, report.would.cost_nanos) == (0, 0)


def test_fastest_follows_what_was_known_at_the_time():
    slow, fast = [past(ok("a", 900.0))], [past(ok("b", 100.0)) for _ in range(5)]
    later = [past(ok("a", 900.0)) for _ in range(10)]
    report = simulate("fast", shot("a", "b", strategy="fastest"), [*slow, *fast, *later])
    assert next(share.would for share in report.targets if share.target == "b/m") >= 10


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_to_go_through(stream):
    report = simulate("fast", shot("a"), [])
    assert msgspec.to_builtins(report)["was"]["first_token_ms"] is None
