"""Own machines in the plan: like any other target, but for being away, being busy, and whose they are."""

from __future__ import annotations

import pytest

from common.errors import NoProviderAvailable
from nodes.fleet import MOST_WAITING_PER_SLOT, Fleet, Presence
from providers.targets import GUEST, OWN, Target
from providers.transport import Deadlines
from routing.filters import REASONS
from routing.health import Health
from routing.legs import RouteTarget
from routing.planner import Planner
from routing.scorers import STRATEGIES
from routing.snapshots import RouteRecord, SpillOver
from tests.routing.builders import call, snapshot, target
from tests.routing.test_planner import names, reasons

NOW = 1000.0


@pytest.fixture
def health():
    return Health()


@pytest.fixture
def fleet():
    return Fleet()


@pytest.fixture
def planner(health, fleet):
    return Planner(health, Deadlines(), fleet)


def node(slug: str, model: str = "m", place: str = OWN, **wishes) -> Target:
    given = {"credentials": (), "transport": "tunnel", "node": f"node_{slug}", "slots": 2, "place": place}
    return target(f"node/{slug}", model, **given | wishes)


@pytest.fixture
def here(fleet):
    def here(target: Target, now: float = NOW, **said) -> None:
        fleet.note(Presence(target.node, **said), now)

    return here


def refused(planner, wish, shot) -> dict[str, str]:
    with pytest.raises(NoProviderAvailable) as caught:
        planner.plan(wish, shot, NOW)
    assert caught.value.status == 503
    return reasons(caught.value)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_node_is_a_target_like_any_other(planner, here, strategy):
    own, cloud = node("box"), target("cloud")
    here(own)
    plan = planner.plan(call(), snapshot(own, cloud, strategy=strategy), NOW)
    assert sorted(names(plan)) == ["cloud", "node/box"]


def test_it_is_pinned_by_its_name(planner, here):
    own, cloud = node("box"), target("cloud")
    here(own)
    assert names(planner.plan(call("node/box/m"), snapshot(own, cloud), NOW)) == ["node/box"]


def test_a_node_that_is_away_is_refused_and_named(planner):
    plan = planner.plan(call(), snapshot(node("box"), target("cloud")), NOW)
    assert names(plan) == ["cloud"]
    assert reasons(plan) == {"node/box/m": "node_offline"}


def test_a_node_not_heard_of_for_long_is_away(planner, here):
    own = node("box")
    here(own, NOW - 29)
    assert names(planner.plan(call(), snapshot(own), NOW)) == ["node/box"]
    here(own, NOW - 31)
    assert refused(planner, call(), snapshot(own)) == {"node/box/m": "node_offline"}


def test_a_node_that_went_is_away_at_once(planner, here):
    own = node("box")
    here(own)
    here(own, connected=False)
    assert refused(planner, call(), snapshot(own)) == {"node/box/m": "node_offline"}


def test_an_older_connection_is_not_listened_to(planner, here):
    own = node("box")
    here(own, generation=2)
    here(own, generation=1, connected=False)
    assert names(planner.plan(call(), snapshot(own), NOW)) == ["node/box"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [("user_active", "node_user_active"), ("calendar", "node_calendar"), ("nonsense", "node_not_accepting")],
)
def test_a_node_that_takes_no_work_says_why(planner, here, said, reason):
    own = node("box")
    here(own, accepting=False, reason=said)
    assert refused(planner, call(), snapshot(own)) == {"node/box/m": reason}


@pytest.mark.parametrize("reason", ["node_paused", "node_draining", "model_gone", "trial_failed"])
def test_what_the_rows_say_against_it_counts_first(planner, here, reason):
    own = node("box", unroutable=reason)
    here(own)
    assert refused(planner, call(), snapshot(own)) == {"node/box/m": reason}
    assert REASONS[reason]


def test_least_busy_goes_by_work_per_slot(planner, here):
    small, large = node("small", slots=1), node("large", slots=8)
    here(small, in_flight=1)
    here(large, in_flight=3)
    shot = snapshot(small, large, strategy="least_busy")
    assert names(planner.plan(call(), shot, NOW)) == ["node/large", "node/small"]
    here(large, in_flight=3, queue=9)
    assert names(planner.plan(call(), shot, NOW)) == ["node/small", "node/large"]


def test_what_this_process_sent_counts_before_anybody_says_so(planner, here, health):
    a, b = node("a"), node("b")
    here(a)
    here(b)
    health.speed(a.id).in_flight = 3
    assert names(planner.plan(call(), snapshot(a, b, strategy="least_busy"), NOW)) == ["node/b", "node/a"]


def test_a_node_that_can_hold_no_more(planner, here):
    own = node("box", slots=1)
    here(own, in_flight=MOST_WAITING_PER_SLOT + 1)
    assert refused(planner, call(), snapshot(own)) == {"node/box/m": "node_full"}


def test_guests_are_let_in_only_where_the_owner_leaves_room(planner, here):
    guest = node("box", place=GUEST, slots=2)
    here(guest, in_flight=1)
    assert names(planner.plan(call(), snapshot(guest), NOW)) == ["node/box"]
    here(guest, in_flight=2)
    assert refused(planner, call(), snapshot(guest)) == {"node/box/m": "owner_first"}
    here(guest, queue=1)
    assert refused(planner, call(), snapshot(guest)) == {"node/box/m": "owner_first"}


def test_the_owner_may_queue_where_guests_may_not(planner, here):
    own = node("box", slots=2)
    here(own, in_flight=2, queue=1)
    assert names(planner.plan(call(), snapshot(own), NOW)) == ["node/box"]


def test_what_is_named_only_answers_to_no_bare_name(planner, here):
    guest = node("acme.box", "m", place=GUEST, named_only=True)
    here(guest)
    shot = snapshot(guest, target("cloud"))
    assert names(planner.plan(call("m"), shot, NOW)) == ["cloud"]
    assert names(planner.plan(call("node/acme.box/m"), shot, NOW)) == ["node/acme.box"]
    assert shot.model_names() == ["m", "node/acme.box/m"]


@pytest.mark.parametrize(("suffix", "reason"), [(":local", "not_local"), (":private", "not_private")])
def test_suffixes_keep_a_call_on_own_machines(planner, here, suffix, reason):
    own, guest, cloud = node("own"), node("guest", place=GUEST), target("cloud")
    shot = snapshot(own, guest, cloud)
    here(guest)
    against = refused(planner, call(f"m{suffix}"), shot)
    assert against == {"node/own/m": "node_offline", "node/guest/m": reason, "cloud/m": reason}
    here(own)
    assert names(planner.plan(call(f"m{suffix}"), shot, NOW)) == ["node/own"]


def private_route(*legs: str, **wishes) -> RouteRecord:
    return RouteRecord("secret", "priority", tuple(RouteTarget(leg) for leg in legs), private=True, **wishes)


def test_a_private_route_fails_closed(planner, here):
    own, guest, cloud = node("own"), node("guest", place=GUEST), target("cloud")
    shot = snapshot(own, guest, cloud, routes=(private_route("node/own/m", "node/guest/m", "cloud/m", "m"),))
    here(guest)
    assert set(refused(planner, call("secret"), shot).values()) == {"node_offline", "not_private"}
    here(own)
    plan = planner.plan(call("secret"), shot, NOW)
    assert set(names(plan)) == {"node/own"}


def test_fallback_models_do_not_open_a_private_route(planner):
    shot = snapshot(node("own"), target("cloud", "n"), routes=(private_route("node/own/m"),))
    for wish in (call("secret", models=["n"]), call("n", models=["secret"])):
        assert set(refused(planner, wish, shot)) == {"node/own/m", "cloud/n"}


def test_a_private_route_that_leads_nowhere_is_no_other_model(planner):
    shot = snapshot(target("cloud", "secret"), routes=(private_route(),))
    assert refused(planner, call("secret"), shot) == {}


def spilling(*targets: Target, **bounds) -> object:
    legs = tuple(RouteTarget(one.name) for one in targets)
    return snapshot(*targets, routes=(RouteRecord("r", "priority", legs, spill_over=SpillOver(**bounds)),))


def test_spill_over_by_what_waits(planner, here):
    own, cloud = node("box", priority=100, slots=2), target("cloud", priority=1)
    shot = spilling(cloud, own, queue_above=1)
    here(own, in_flight=3)
    assert names(planner.plan(call("r"), shot, NOW)) == ["node/box", "cloud"]
    here(own, in_flight=4)
    assert names(planner.plan(call("r"), shot, NOW)) == ["cloud", "node/box"]
    here(own, in_flight=1, queue=2)
    assert names(planner.plan(call("r"), shot, NOW)) == ["cloud", "node/box"]


def test_spill_over_to_another_own_machine_first(planner, here):
    busy, idle, cloud = node("busy", priority=1), node("idle", priority=2), target("cloud", priority=3)
    here(busy, in_flight=9)
    here(idle)
    assert names(planner.plan(call("r"), spilling(busy, idle, cloud, queue_above=0), NOW)) == [
        "node/idle",
        "cloud",
        "node/busy",
    ]


def test_spill_over_by_a_slow_first_token_until_it_is_idle_again(planner, here, health):
    own, cloud = node("box"), target("cloud")
    shot = spilling(own, cloud, first_token_above_s=1.5)
    health.speed(own.id).note(3.0, 0, 0)
    here(own, in_flight=1)
    assert names(planner.plan(call("r"), shot, NOW)) == ["cloud", "node/box"]
    here(own)
    assert names(planner.plan(call("r"), shot, NOW)) == ["node/box", "cloud"]


def test_without_own_machines_the_cloud_answers(planner):
    assert names(planner.plan(call("r"), spilling(node("box"), target("cloud"), queue_above=0), NOW)) == ["cloud"]


def test_every_reason_has_its_words(fleet):
    words = {"user_active", "gpu_busy", "on_battery", "calendar", "paused", "draining", "no_local_server"}
    own = node("box")
    for word in words | {"odd"}:
        fleet.note(Presence(own.node, accepting=False, reason=word), NOW)
        assert fleet.refusal(own, 0, NOW) in REASONS
