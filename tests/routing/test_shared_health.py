"""Health as all processes share it: probes take a dead target out of routing everywhere, and bring it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import httpx
import pytest
from django.db import close_old_connections
from django.utils import timezone

from providers import keypool, pulses, recovery
from providers.alerts import open_alerts
from providers.models import BreakerState, Connection, HealthChange, Pulse
from routing import health_control
from tests.fakes.upstream import killed
from tests.ownredis import BACK_WITHIN_S, eventually
from tests.stack import GatewayProcess, Tenant, allow_of

BODY = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hello"}]}
URL = "/v1/chat/completions"
ENOUGH_FOR_EVERY_PROCESS = 12


@contextmanager
def prober() -> Iterator[None]:
    """Celery's beat and worker, as a thread."""
    is_over = Event()

    def run() -> None:
        while not is_over.wait(0.1):
            pulses.probe_due()
            recovery.retry_parked_keys()
        close_old_connections()

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.fixture
def alone(tenant: Tenant, settings) -> Tenant:
    """Each connection is asked at least once a second; those that other tests left behind are not."""
    settings.PROBE_INTERVAL_S = 1.0
    Connection.objects.exclude(org=tenant.org).update(enabled=False)
    return tenant


@pytest.fixture
def two(alone: Tenant, upstreams) -> Tenant:
    """C before B."""
    alone.connect(upstreams.c.base_url, ["sim-chat"])
    alone.connect(upstreams.b.base_url, ["sim-chat"])
    return alone


def asked(gateway: GatewayProcess, tenant: Tenant) -> httpx.Response:
    """On a connection of its own, so that all processes get some."""
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    return httpx.post(gateway.url + URL, json=BODY, headers=headers, timeout=30)


def answer(gateway: GatewayProcess, tenant: Tenant) -> httpx.Response:
    response = asked(gateway, tenant)
    assert response.status_code == 200, response.text
    return response


def everybody_serves(gateway: GatewayProcess, tenant: Tenant) -> bool:
    return all(asked(gateway, tenant).status_code == 200 for _ in range(ENOUGH_FOR_EVERY_PROCESS))


def goes_straight_to(gateway: GatewayProcess, tenant: Tenant, name: str) -> bool:
    answers = [answer(gateway, tenant) for _ in range(ENOUGH_FOR_EVERY_PROCESS)]
    return {(one.headers["x-shareai-target"], one.headers["x-shareai-attempts"]) for one in answers} == {
        (f"{name}/sim-chat", "1")
    }


def state_of(tenant: Tenant, index: int = 0) -> str:
    return Pulse.objects.filter(connection=tenant.connections[index]).values_list("state", flat=True).first() or ""


def test_without_any_traffic_a_dead_target_leaves_every_process_and_returns(gateway, two, upstreams):
    assert goes_straight_to(gateway, two, "upstream-a")
    with prober():
        with killed(upstreams.c):
            eventually(lambda: state_of(two) == Pulse.DOWN, BACK_WITHIN_S)
            eventually(lambda: goes_straight_to(gateway, two, "upstream-b"), BACK_WITHIN_S)
            assert not BreakerState.objects.filter(target="upstream-a/sim-chat", org=two.org, state="open").exists()
        eventually(lambda: state_of(two) == Pulse.UP, BACK_WITHIN_S)
        eventually(lambda: goes_straight_to(gateway, two, "upstream-a"), BACK_WITHIN_S)


def test_what_one_process_meets_all_know_and_the_probe_brings_it_back(gateway, two, upstreams):
    upstreams.c.fail("500")
    for _ in range(ENOUGH_FOR_EVERY_PROCESS):
        answer(gateway, two)
    row = BreakerState.objects.filter(org=two.org, target="upstream-a/sim-chat")
    eventually(lambda: row.filter(state="open").exists(), BACK_WITHIN_S)
    eventually(lambda: goes_straight_to(gateway, two, "upstream-b"), BACK_WITHIN_S)
    opened = HealthChange.objects.filter(org=two.org, target_id__gt=0)
    assert [*opened.values_list("before", "after", "reason")] == [("closed", "open", "server_error")]
    upstreams.c.heal()
    with prober():
        eventually(lambda: row.filter(state="closed").exists(), BACK_WITHIN_S)
    eventually(lambda: goes_straight_to(gateway, two, "upstream-a"), BACK_WITHIN_S)


def test_what_a_person_holds_open_gets_nothing_until_it_is_reset(gateway, two):
    [model] = two.connections[0].served_models.select_related("connection")
    health_control.hold_open(two.org, two.actor, model)
    eventually(lambda: goes_straight_to(gateway, two, "upstream-b"), BACK_WITHIN_S)
    health_control.reset(two.org, two.actor, model)
    eventually(lambda: goes_straight_to(gateway, two, "upstream-a"), BACK_WITHIN_S)


def test_the_last_target_is_tried_although_its_probes_fail(gateway, alone, upstreams):
    alone.connect(upstreams.c.base_url, ["sim-chat"])
    with killed(upstreams.c), prober():
        eventually(lambda: state_of(alone) == Pulse.DOWN, BACK_WITHIN_S)
    assert goes_straight_to(gateway, alone, "upstream-a")


def test_with_redis_away_news_comes_by_looking(two, own_redis, upstreams, tmp_path):
    gateway = GatewayProcess(tmp_path, egress_allow=allow_of(upstreams), REDIS_URL=own_redis.url)
    gateway.start()
    try:
        assert goes_straight_to(gateway, two, "upstream-a")
        own_redis.kill()
        [model] = two.connections[0].served_models.select_related("connection")
        health_control.hold_open(two.org, two.actor, model)
        eventually(lambda: goes_straight_to(gateway, two, "upstream-b"), BACK_WITHIN_S)
    finally:
        gateway.stop()


def test_one_of_two_keys_revoked_fails_no_request_and_comes_back_by_itself(gateway, alone, upstreams):
    keys = ["key-one", "key-two"]
    upstreams.c.keys.update(keys)
    connection = alone.connect(upstreams.c.base_url, ["sim-chat"], api_keys=keys)
    try:
        assert goes_straight_to(gateway, alone, "upstream-a")
        upstreams.c.keys.discard("key-two")
        for _ in range(ENOUGH_FOR_EVERY_PROCESS):
            answer(gateway, alone)
        [one, two] = connection.keys.order_by("pk")
        eventually(lambda: connection.keys.get(pk=two.pk).state == "parked", BACK_WITHIN_S)
        assert open_alerts(alone.org).get().subject == two.public_id
        assert connection.keys.get(pk=one.pk).state == "active"
        upstreams.c.keys.add("key-two")
        connection.keys.update(retry_at=timezone.now())  # the gateway's own interval is longer than this test
        with prober():
            eventually(lambda: connection.keys.get(pk=two.pk).state == "active", BACK_WITHIN_S)
        assert not open_alerts(alone.org).exists()
        upstreams.c.keys.discard("key-one")
        keypool.park_refused_key(one.public_id)
        eventually(
            lambda: everybody_serves(gateway, alone), BACK_WITHIN_S
        )  # once each has heard that key two is back
        assert goes_straight_to(gateway, alone, "upstream-a")
    finally:
        upstreams.c.keys.difference_update(keys)
