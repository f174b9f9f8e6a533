"""Rules in the plan: the first that fits takes the place of the route's own targets, and falls back as told."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic

import msgspec
import pytest

from accounts.authentication import KeyRecord
from common.errors import NoProviderAvailable, ProviderUnavailable
from metering.budgets import Budgets
from nodes.fleet import Fleet, Presence
from providers.failures import Kind, UpstreamFailure
from providers.targets import CLOUD, GUEST, OWN
from providers.transport import Deadlines
from routing.facts import facts_of, nothing_used
from routing.failover import Failover, RetryBudget, Trail
from routing.filters import REASONS
from routing.flights import Flights
from routing.health import Health
from routing.legs import RouteTarget
from routing.planner import Planner
from routing.plans import MOST_ATTEMPTS, Plan
from routing.sentences import parsed
from routing.snapshots import OrgSnapshot, RouteRecord
from tests.routing.builders import call, snapshot, target
from tests.routing.test_planner import names, reasons

KEY = KeyRecord(
    id=1,
    public_id="k" * 12,
    secret_hash=b"",
    org_id=1,
    user_id=1,
    name="Night jobs",
    scopes=frozenset({"inference"}),
    member="bob@acme.test",
    tags=("batch",),
)


@pytest.fixture
def health():
    return Health()


@pytest.fixture
def planner(health):
    return Planner(health, Deadlines())


def shot_of(*sentences: str, slugs: str = "abcd", **wishes) -> OrgSnapshot:
    """Targets a/m, b/m … and the route `fast`, which leads to `a` where no rule fits."""
    rules = tuple(map(parsed, sentences))
    route = RouteRecord("fast", "priority", (RouteTarget("a/m"),), rules=rules, **wishes)
    made = snapshot(*(target(slug) for slug in slugs), routes=(route,))
    return msgspec.structs.replace(made, keys={KEY.public_id: KEY})


@pytest.mark.parametrize(
    ("condition", "wishes", "fits"),
    [
        ('model is "fast"', {}, True),
        ('model is "slow"', {}, False),
        ('key is "Night jobs"', {}, True),
        (f'key is "{KEY.public_id}"', {}, True),
        ('key is "Day jobs"', {}, False),
        ('member is "bob@acme.test"', {}, True),
        ('member is "carol@acme.test"', {}, False),
        ('tag is "batch"', {}, True),
        ('tag is "red"', {"metadata": {"tags": "blue, red"}}, True),
        ('tag is "team=red"', {"metadata": {"team": "red"}}, True),
        ('tag is "red"', {"metadata": {"team": "red"}}, False),
        ('tag is "red"', {"metadata": ["red"]}, False),
        ('header "x-team" is "red"', {"headers": ((b"x-team", b"red"),)}, True),
        ('header "x-team" is "red"', {"headers": ((b"x-team", b"blue"),)}, False),
        ('data class is "restricted"', {"metadata": {"data_class": "restricted"}}, True),
        ('data class is "internal"', {"headers": ((b"x-shareai-data-class", b"internal"),)}, True),
        ('data class is "internal"', {}, False),
        ("prompt is over 1000 tokens", {"size": 4004}, True),
        ("prompt is over 1000 tokens", {"size": 4003}, False),
        ("prompt is under 100 tokens", {"size": 396}, True),
        ("prompt is under 100 tokens", {"size": 400}, False),
    ],
)
def test_a_rule_applies_to_what_it_asks_for(planner, condition, wishes, fits):
    shot = shot_of(f'when {condition} use priority of "b/m"')
    headers = wishes.pop("headers", ())
    wish = msgspec.structs.replace(call("fast", **wishes), headers=headers)
    plan = planner.plan(wish, shot, 0, KEY.public_id)
    assert (names(plan), plan.rule) == ((["b"], 1) if fits else (["a"], 0))


def test_the_strictest_data_class_counts_and_an_unknown_word_is_the_strictest():
    shot = shot_of()

    def class_of(metadata: dict, *headers: bytes) -> str:
        wish = msgspec.structs.replace(
            call("fast", metadata=metadata), headers=[(b"x-shareai-data-class", value) for value in headers]
        )
        return facts_of(wish, shot, "", (), nothing_used).data_class

    assert class_of({"data_class": "public"}, b"confidential") == "confidential"
    assert class_of({"data_class": "topsecret"}) == "restricted"
    assert class_of({}) == ""


def test_the_hours_are_the_organizations(monkeypatch):
    shot = shot_of()
    minutes = {
        zone: facts_of(call("fast"), msgspec.structs.replace(shot, time_zone=zone), "", (), nothing_used).minute
        for zone in ("UTC", "Asia/Bangkok", "No/Where")
    }
    assert (minutes["Asia/Bangkok"] - minutes["UTC"]) % (24 * 60) in (420, 421)
    assert (minutes["No/Where"] - minutes["UTC"]) % (24 * 60) in (0, 1)


def test_a_budget_that_is_nearly_spent_changes_who_answers(health):
    spent = {(None, 0, "fast"): 79.0, (KEY.user_id, KEY.id, "fast"): 80.5}
    planner = Planner(health, Deadlines(), None, lambda budgets, *who: spent[who])
    shot = shot_of('when budget is over 80 percent use priority of "b/m"')
    assert names(planner.plan(call("fast"), shot, 0, KEY.public_id)) == ["a"]  # nobody has set one
    shot = msgspec.structs.replace(shot, budgets=Budgets((), {}, {}, {}, {}))
    assert names(planner.plan(call("fast"), shot, 0)) == ["a"]
    assert names(planner.plan(call("fast"), shot, 0, KEY.public_id)) == ["b"]
    assert names(planner.rehearsal().plan(call("fast"), shot, 0, KEY.public_id)) == ["b"]


def test_the_first_rule_that_fits_decides_and_the_route_itself_where_none_does(planner):
    shot = shot_of(
        'when tag is "x" use priority of "b/m"', 'when tag is "x" or "y" use priority of "c/m"', slugs="abc"
    )
    by_tag = {tag: names(planner.plan(call("fast", metadata={"tags": tag}), shot, 0)) for tag in "xyz"}
    assert by_tag == {"x": ["b"], "y": ["c"], "z": ["a"]}


def test_a_rule_shares_by_weight_within_one_percent(planner):
    shot = shot_of('use weighted of "a/m" weight 70, "b/m" weight 30, "c/m" weight 0')
    first = Counter(names(planner.plan(call("fast"), shot, 0))[0] for _ in range(10_000))
    assert abs(first["a"] - 7000) <= 70
    assert abs(first["b"] - 3000) <= 30
    assert first["c"] == 0


def test_tiers_of_a_rule_come_one_after_the_other(planner):
    shot = shot_of('use weighted of "c/m" tier 1, "b/m", "a/m" tier 2')
    assert names(planner.plan(call("fast"), shot, 0)) == ["b", "c", "a"]


def test_what_may_not_be_tried_at_all_is_fallen_back_from_only_where_the_rule_says_so(planner):
    down = {"a": 10**12}
    late = msgspec.structs.replace(
        shot_of('use priority of "a/m" then on timeout fall back to priority of "b/m"'), drills=down
    )
    with pytest.raises(NoProviderAvailable) as caught:
        planner.plan(call("fast"), late, 0)
    assert reasons(caught.value) == {"a/m": "drill", "b/m": "other_cause"}
    away = 'use priority of "a/m" then on timeout fall back to priority of "b/m" '
    away += 'then on unavailable fall back to priority of "c/m" then fall back to priority of "d/m"'
    plan = planner.plan(call("fast"), msgspec.structs.replace(shot_of(away), drills=down), 0)
    assert names(plan) == ["c", "d"]
    assert [each.after for each in plan.candidates] == [None, None]
    assert reasons(plan)["b/m"] == "other_cause"
    assert "other_cause" in REASONS


def test_a_fallback_stays_within_reach_of_the_attempts(planner):
    rule = 'use priority of "a/m", "b/m", "c/m", "d/m" then on timeout fall back to priority of "e/m" '
    shot = shot_of(rule + 'then fall back to priority of "f/m"', slugs="abcdef")
    assert names(planner.plan(call("fast"), shot, 0)) == ["a", "b", "e", "f", "c", "d"]
    tiers = RouteRecord("t", "priority", (*(RouteTarget(f"{slug}/m") for slug in "abcd"), RouteTarget("e/m", 1, 1)))
    route = msgspec.structs.replace(shot, routes={"t": tiers})
    assert names(planner.plan(call("t"), route, 0))[:MOST_ATTEMPTS] == ["a", "b", "e"]


def test_the_same_target_is_tried_once(planner):
    shot = shot_of('use priority of "a/m", "b/m" then fall back to priority of "b/m", "c/m"')
    assert names(planner.plan(call("fast"), shot, 0)) == ["a", "b", "c"]


@pytest.mark.parametrize("place", [CLOUD, GUEST])
@pytest.mark.parametrize(
    "rule",
    [
        'use cheapest of "there/m"',
        'use cheapest of "node/box/m" then fall back to cheapest of "there/m"',
        'use cheapest of "node/box/m" then on unavailable fall back to cheapest of "there/m"',
        'when prompt is over 0 tokens use fastest of "there/m", "node/box/m" tier 1',
    ],
)
def test_a_private_route_fails_closed_whatever_its_rules_say(health, rule, place):
    fleet = Fleet()
    planner = Planner(health, Deadlines(), fleet)
    own = target("node/box", credentials=(), transport="tunnel", node="node_1", slots=2, place=OWN)
    route = RouteRecord("fast", "priority", (RouteTarget("node/box/m"),), private=True, rules=(parsed(rule),))
    shot = snapshot(own, target("there", place=place), routes=(route,))
    with pytest.raises(NoProviderAvailable) as caught:
        planner.plan(call("fast"), shot, 0)
    assert reasons(caught.value)["there/m"] == "not_private"
    fleet.note(Presence("node_1"), 0)
    if "node/box" in rule:
        plan = planner.plan(call("fast"), shot, 0)
        assert {candidate.target.place for candidate in plan.candidates} == {OWN}


def tried(health: Health, plan: Plan, outcomes: dict[str, Kind]) -> list[str]:
    """Who is asked, in order, when each fails as given."""
    asked: list[str] = []

    class Scripted(Failover):
        async def _attempt(self, call, target, credential, deadlines, trail, flight):
            asked.append(target.connection_slug)
            raise UpstreamFailure(outcomes[target.connection_slug])

    async def run() -> None:
        flights = Flights()
        failover = Scripted({}, health, RetryBudget(lambda: 1), lambda *_: None)
        flight = flights.enter(asyncio.Event().wait)
        try:
            with pytest.raises(ProviderUnavailable):
                await failover.run(call(), plan, Trail(monotonic()), flight)
        finally:
            flights.leave(flight)

    asyncio.run(run())
    return asked


@pytest.mark.parametrize(
    ("failure", "after"),
    [(Kind.RATE_LIMITED, ["b", "d"]), (Kind.RESET, ["c", "d"]), (Kind.SERVER_ERROR, ["d"])],
)
def test_failover_honours_the_causes(planner, health, failure, after):
    rule = 'use priority of "a/m" then on rate_limit fall back to priority of "b/m" '
    rule += 'then on connection fall back to priority of "c/m" then fall back to priority of "d/m"'
    plan = planner.plan(call("fast"), shot_of(rule), 0)
    fails = dict.fromkeys("bcd", Kind.SERVER_ERROR) | {"a": failure}
    assert tried(health, plan, fails) == ["a", *after]


def test_a_failure_that_no_fallback_covers_is_told(planner, health):
    plan = planner.plan(
        call("fast"), shot_of('use priority of "a/m" then on rate_limit fall back to priority of "b/m"'), 0
    )
    assert tried(health, plan, {"a": Kind.SERVER_ERROR}) == ["a"]


def test_in_this_order_means_the_order_of_the_legs_whatever_the_connections_rank(planner):
    legs = tuple(RouteTarget(name) for name in ("b/m", "n", "a/m"))
    first, second = target("x", "n", priority=2), target("y", "n", priority=1)
    shot = snapshot(
        target("a", priority=1),
        target("b", priority=9),
        first,
        second,
        routes=(RouteRecord("fast", "priority", legs),),
    )
    assert names(planner.plan(call("fast"), shot, 0)) == ["b", "y", "x", "a"]
