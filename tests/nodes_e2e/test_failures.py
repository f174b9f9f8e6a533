"""What callers see when a machine dies, freezes, is busy or is revoked: the next target, or a clear word."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
from django.db import transaction

from nodes.services import revoke_node, update_node
from routing.services import put_route
from tests.fakes.upstream import FaultUpstream
from tests.figures import timed
from tests.nodes_e2e.conftest import ASK, all_say, ask, reason_of, until_served
from tests.nodes_e2e.machines import Machine, until

MODEL = "sim-chat"
PINNED = f"node/box/{MODEL}"
CLOUD = f"upstream-a/{MODEL}"


@pytest.fixture
def box(make_machine, local, http) -> Machine:
    machine = make_machine(local.base_url, models=MODEL)
    until_served(http, PINNED)
    return machine


@pytest.fixture
def backed(box, tenant, cloud, http) -> Machine:
    """With a provider of the same model, tried second."""
    tenant.connect(cloud.base_url, [MODEL], priority=1000)
    all_say(http, CLOUD, lambda answer: answer.status_code == 200)
    assert target_of(ask(http, MODEL)) == PINNED
    return box


def target_of(answer: httpx.Response) -> str:
    return str(answer.headers.get("x-shareai-target"))


def asking(http: httpx.Client, local: FaultUpstream, fault: str, **more: object) -> Future[httpx.Response]:
    """A request that is in the machine's model server when this returns, and will not come back by itself."""
    local.fail(fault)
    before = len(local.log.posts)
    with_one = ThreadPoolExecutor(1)
    answer = with_one.submit(ask, http, MODEL, **more)
    with_one.shutdown(wait=False)
    local.log.wait_until(lambda log: len(log.posts) > before and log.posts[-1].hanging, 15)
    return answer


@pytest.mark.parametrize("stream", [False, True])
def test_killed_before_the_first_byte_the_next_target_answers(backed, http, local, stream):
    answer = asking(http, local, "hang", stream=stream)
    backed.kill()
    got = answer.result(30)
    assert (got.status_code, target_of(got)) == (200, CLOUD)
    assert got.headers["x-shareai-attempts"] == "2"


def test_killed_after_the_first_byte_the_caller_is_told(backed, http, local):
    local.fail("stall")
    body = ASK | {"model": MODEL, "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert target_of(answer) == PINNED
        lines = answer.iter_lines()
        assert any('"content":"' in line and '"content":""' not in line for line in lines)
        backed.kill()
        rest = "\n".join(lines)
    assert '"error"' in rest
    assert '"finish_reason":"stop"' not in rest
    all_say(http, MODEL, lambda later: target_of(later) == CLOUD)


def test_revoked_it_is_closed_and_what_it_had_is_answered_elsewhere(backed, tenant, http, local):
    answer = asking(http, local, "hang")
    with transaction.atomic():
        revoke_node(backed.row, tenant.actor)
    got = answer.result(10)
    assert (got.status_code, target_of(got)) == (200, CLOUD)
    until(lambda: backed.has_ended, what=backed.said)
    assert "removed in the console" in backed.said()
    all_say(http, PINNED, lambda later: later.status_code == 404)


def test_one_that_its_owner_pauses_is_out_of_routing_at_once(backed, http):
    done = backed.home.do_now("pause")
    assert done.code == 0, done.err
    with timed("a machine is paused by its owner, until eight answers in a row come from elsewhere"):
        all_say(http, MODEL, lambda answer: target_of(answer) == CLOUD, within_s=5 + 3)
    assert reason_of(ask(http, PINNED)) == "node_paused"
    assert backed.home.do_now("resume").code == 0
    all_say(http, MODEL, lambda answer: target_of(answer) == PINNED)


def test_busy_in_idle_time_it_is_out_of_routing_and_back_when_it_may_always_serve(backed, tenant, http):
    """Its calendar has one minute a week; and what cannot be told idle is busy."""
    calendar = [{"days": [0], "from": "00:00", "to": "00:01"}]
    with timed(
        "a machine is told to serve in idle time while it is busy, until eight answers in a row come from elsewhere"
    ):
        update_node(backed.row, tenant.actor, {"mode": "idle", "calendar": calendar})
        all_say(http, MODEL, lambda answer: target_of(answer) == CLOUD, within_s=5 + 3)
    assert reason_of(ask(http, PINNED)).startswith("node_")
    update_node(backed.row, tenant.actor, {"mode": "always"})
    all_say(http, MODEL, lambda answer: target_of(answer) == PINNED)


def test_a_private_route_never_falls_back(backed, tenant, http, cloud):
    legs = [{"target": PINNED}, {"target": CLOUD}]
    put_route(tenant.org, tenant.actor, "at-home", {"targets": legs, "private": True})
    all_say(http, "at-home", lambda answer: target_of(answer) == PINNED)
    before = len(cloud.log.posts)
    backed.kill()
    all_say(http, "at-home", lambda answer: answer.status_code == 503)
    assert len(cloud.log.posts) == before
