"""A question that is meant for own machines is compared on own machines, or not at all."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from accounts.authentication import Caller
from providers.schema import Call
from providers.targets import OWN
from providers.transport import Deadlines
from routing.cache_keys import wanted
from routing.cache_rules import CacheRule, CacheRules, Semantic
from routing.cache_similar import Embedder
from routing.flights import Flight, Flights
from routing.health import Health
from routing.legs import RouteTarget
from routing.planner import Planner
from routing.replies import Reply
from routing.snapshots import OrgSnapshot, RouteRecord
from tests.routing.builders import CALLER, call, snapshot, target

RULE = CacheRule(60, semantic=Semantic("embed", 0.9))
EMBEDDED = b'{"data": [{"embedding": [1.0, 0.0]}]}'
CLOUD_EMBED = target("cloud", "embed", kind="embedding")
OWN_EMBED = target("home", "embed", kind="embedding", place=OWN)


class Plans:
    """Plans as the gateway does, and answers in the place of the first candidate."""

    def __init__(self, known: OrgSnapshot) -> None:
        self.planner, self.known = Planner(Health(), Deadlines()), known
        self.asked: list[str] = []

    async def serve(self, call: Call, caller: Caller, flight: Flight) -> Reply:
        plan = self.planner.plan(call, self.known, 0.0)
        self.asked.append(plan.candidates[0].target.name)
        return Reply(200, [], EMBEDDED)


def plans(*embedders, private: bool = False) -> Plans:
    route = RouteRecord("faq", "priority", (RouteTarget("m"),), private=private)
    known = snapshot(target("cloud"), target("node", place=OWN), *embedders, routes=(route,))
    return Plans(msgspec.structs.replace(known, cache=CacheRules({"route": {"faq": RULE}})))


def embedded(gateway: Plans, asked: Call) -> bool:
    """Whether the question of this call could be compared."""
    plan = gateway.planner.plan(asked, gateway.known, 0.0)
    found = wanted(asked, CALLER, plan, gateway.known)
    if found is None or found.similar is None:
        return False
    return asyncio.run(Embedder(gateway, Flights()).embed("embed", found.similar)) is not None


def test_where_answers_come_from_anywhere_so_do_embeddings():
    gateway = plans(CLOUD_EMBED)
    assert embedded(gateway, call("faq"))
    assert gateway.asked == ["cloud/embed"]


@pytest.mark.parametrize(("private", "name"), [(True, "faq"), (False, "faq:private"), (False, "faq:local")])
def test_what_stays_home_is_not_compared_elsewhere(private, name):
    gateway = plans(CLOUD_EMBED, private=private)
    assert not embedded(gateway, call(name))
    assert gateway.asked == []


def test_what_stays_home_is_compared_by_own_machines():
    gateway = plans(CLOUD_EMBED, OWN_EMBED)
    assert embedded(gateway, call("faq:local"))
    assert gateway.asked == ["home/embed"]


@pytest.mark.parametrize(("private", "name"), [(True, "faq"), (False, "faq:private")])
def test_what_is_private_is_never_kept_and_so_never_compared(private, name):
    gateway = plans(CLOUD_EMBED, OWN_EMBED, private=private)
    assert not embedded(gateway, call(name))
    assert gateway.asked == []


@pytest.mark.parametrize("wish", [{"only": ["node"]}, {"ignore": ["elsewhere"]}])
def test_whoever_says_who_may_read_a_question_is_not_compared(wish):
    gateway = plans(CLOUD_EMBED)
    assert not embedded(gateway, call("faq", provider=wish))
    assert gateway.asked == []
