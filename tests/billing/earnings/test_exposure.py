"""The published formula, whose weight counts in draws among equals and nowhere else."""

from collections import Counter

import msgspec
import pytest
from django.utils import timezone

from billing.earnings import exposure
from nodes.models import Node
from nodes.sources import load_targets
from providers.schema import Call
from providers.targets import GUEST, Price, Target
from providers.transport import Deadlines
from routing.health import Health
from routing.planner import Planner
from tests.routing.builders import call, snapshot, target

DRAWS = 4000


@pytest.mark.parametrize(
    ("is_trusted", "donated", "percent"),
    [(False, 0, 100), (True, 0, 150), (False, 100, 150), (True, 100, 200), (True, 25, 162)],
)
def test_the_formula(is_trusted, donated, percent):
    assert exposure.exposure_percent(is_trusted=is_trusted, donated_percent=donated) == percent


def test_the_round_writes_it_to_machines_that_others_use_and_tells_them(
    machine, served, chosen, cause, acme, rival, settings
):
    settings.EARNINGS_TRUST_REQUESTS = 1
    acme.uses_community_nodes = True
    acme.save()
    chosen(donated=40, **{cause.slug: 1})
    served()
    before = type(acme).objects.get(pk=acme.pk).version
    assert exposure.refresh(timezone.now()) == 1
    assert exposure.refresh(timezone.now()) == 0
    assert Node.objects.get().exposure_percent == 170
    assert [one.exposure for one in load_targets(acme.pk, uses_community=True)] == [1.7]
    assert [one.exposure for one in load_targets(rival.pk, uses_community=True)] == [1.0]
    assert type(acme).objects.get(pk=acme.pk).version == before + 1
    settings.EARNINGS_EXPOSURE = False
    exposure.refresh(timezone.now())
    assert Node.objects.get().exposure_percent == 100


def test_among_equals_it_is_the_weight_of_the_draw():
    plain, exposed = target("plain", place=GUEST), target("exposed", place=GUEST, exposure=2.0)
    first = firsts(call(), plain, exposed)
    # 2 of 3 draws; five standard deviations of 4,000 are 3.8 %.
    assert abs(first["exposed/m"] / DRAWS - 2 / 3) < 0.038


@pytest.mark.parametrize("strategy", ["cheapest", "fastest", "priority"])
def test_it_never_passes_a_better_one(strategy):
    better = target("better", place=GUEST, priority=1, price=Price(1, 1))
    exposed = target("exposed", place=GUEST, priority=2, price=Price(2, 2), exposure=2.0)
    health = Health()
    for one, ttft_s in ((better, 0.1), (exposed, 0.2)):
        health.speed(one.id).note(ttft_s, 10, 1.0)
    planner = Planner(health, Deadlines())
    shot = snapshot(better, exposed, strategy=strategy)
    for _ in range(200):
        assert planner.plan(call(), shot, 1000.0).candidates[0].target is better


def test_it_passes_no_machine_that_has_less_to_do():
    idle, exposed = target("idle", place=GUEST), target("exposed", place=GUEST, exposure=2.0)
    health = Health()
    health.speed(exposed.id).in_flight = 1
    planner, shot = Planner(health, Deadlines()), snapshot(idle, exposed, strategy="least_busy")
    assert {planner.plan(call(), shot, 1000.0).candidates[0].target.name for _ in range(200)} == {"idle/m"}


def test_a_route_with_weights_gives_each_its_share_whatever_the_exposure():
    plain, exposed = target("plain", place=GUEST), target("exposed", place=GUEST, exposure=2.0)
    first = firsts(call(), plain, exposed, strategy="weighted")
    assert abs(first["exposed/m"] - DRAWS / 2) <= 3  # by fair shares, not by chance


def test_a_route_that_takes_turns_gives_each_its_turn_whatever_the_exposure():
    plain, exposed = target("plain", place=GUEST), target("exposed", place=GUEST, exposure=2.0)
    planner, shot = Planner(Health(), Deadlines()), snapshot(plain, exposed, strategy="round_robin")
    firsts = [planner.plan(call(), shot, 1000.0).candidates[0].target.name for _ in range(40)]
    assert firsts == ["plain/m", "exposed/m"] * 20


def test_a_session_stays_where_it_is_whatever_the_exposure():
    ones = [target("plain", place=GUEST), target("other", place=GUEST)]
    exposed = [
        msgspec.structs.replace(one, exposure=exposure) for one, exposure in zip(ones, (1.0, 2.0), strict=True)
    ]
    for number in range(40):
        wish = msgspec.structs.replace(call(), session=f"session-{number}")
        assert _sole(wish, *ones) == _sole(wish, *exposed)


def _sole(wish: Call, *targets: Target) -> str:
    first = firsts(wish, *targets, strategy="sticky", draws=5)
    assert len(first) == 1
    return next(iter(first))


def firsts(wish: Call, *targets: Target, strategy: str = "priority", draws: int = DRAWS) -> Counter[str]:
    planner, shot = Planner(Health(), Deadlines()), snapshot(*targets, strategy=strategy)
    return Counter(planner.plan(wish, shot, 1000.0).candidates[0].target.name for _ in range(draws))
