"""Machines and a real gateway: enrolled over HTTP, in the catalogue at once, gone at once when revoked."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import msgspec
import pytest
import redis
from django.conf import settings

from nodes.announcements import PRESENCE, PRESENCE_PREFIX
from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.fleet import Presence
from nodes.models import Node
from nodes.reports import parse
from nodes.services import pause_node, revoke_node
from tests.nodes.machine import Machine
from tests.stack import Tenant

MODEL = "tiny"
ASK = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def node(gateway, tenant: Tenant) -> Node:
    token = create_token(tenant.org, tenant.actor).plain
    application = Machine().application(token, gateway.url, name="Box")
    answer = httpx.post(f"{gateway.url}/nodes/v1/enroll", json=application)
    assert answer.status_code == 201, answer.text
    assert answer.json()["connect_url"] == gateway.url.replace("http", "ws") + "/nodes/v1/connect"
    assert "set-cookie" not in answer.headers
    store_models(answer.json()["node"], parse({"models": [{"id": MODEL, "runtime": "llamacpp"}]}).models)
    return Node.objects.select_related("org").get(public_id=answer.json()["node"])


def until(condition: Callable[[], bool]) -> None:
    """Each of the gateway's processes learns by itself, so a few answers in a row must agree."""
    deadline = time.monotonic() + 15
    agreed = 0
    while agreed < 8:
        assert time.monotonic() < deadline, "the gateway did not hear of it"
        agreed = agreed + 1 if condition() else 0
        time.sleep(0.02)


def reason(http: httpx.Client, name: str) -> str:
    refused = http.post("/v1/chat/completions", json=ASK | {"model": name})
    rejected = refused.json()["error"].get("metadata", {}).get("rejected")
    return str(rejected[0]["reason"] if rejected else refused.status_code)


def test_a_machine_is_in_the_catalogue_and_gone_when_revoked(http, tenant, node):
    listed = lambda: MODEL in [model["id"] for model in http.get("/v1/models").json()["data"]]  # noqa: E731
    until(listed)
    assert reason(http, f"node/{node.slug}/{MODEL}") == "node_offline"
    pause_node(node, tenant.actor)
    until(lambda: reason(http, MODEL) == "node_paused")
    revoke_node(node, tenant.actor)
    until(lambda: not listed())
    assert reason(http, MODEL) == "404"


def test_every_process_hears_who_is_there_and_takes_no_work(http, node):
    until(lambda: reason(http, MODEL) == "node_offline")
    said = msgspec.json.encode(Presence(node.public_id, generation=1, accepting=False, reason="user_active"))
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set(PRESENCE_PREFIX + node.public_id, said, ex=30)
        client.publish(PRESENCE, said)
        until(lambda: reason(http, MODEL) == "node_user_active")
        gone = msgspec.json.encode(Presence(node.public_id, generation=1, connected=False))
        client.delete(PRESENCE_PREFIX + node.public_id)
        client.publish(PRESENCE, gone)
        until(lambda: reason(http, MODEL) == "node_offline")
