"""Machines by the management API."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import redis
from django.conf import settings
from django.utils import timezone

from nodes.announcements import PRESENCE_PREFIX
from nodes.findings import Trial, store_local_server, store_models, store_trial
from nodes.fleet import Presence
from nodes.models import EnrolmentToken, Node
from nodes.reports import LocalServer, parse
from tests.console.api.conftest import refused
from tests.nodes.machine import Machine

pytestmark = pytest.mark.django_db


@pytest.fixture
def node(api) -> str:
    token = api.post("nodes/tokens", {}).json()["token"]
    node = Machine().enrol(token, name="Box").json()["node"]
    store_models(node, parse({"models": [{"id": "a", "runtime": "ollama"}]}).models)
    return str(node)


@pytest.fixture
def connected(node) -> Iterator[object]:
    """Makes the node one that is connected, with its model tried, as far as PostgreSQL and Redis tell."""
    client = redis.Redis.from_url(settings.REDIS_URL)

    def connected(**said) -> None:
        presence = Presence(node, generation=1, **said)
        client.set(PRESENCE_PREFIX + node, msgspec.json.encode(presence), ex=30)
        Node.objects.update(first_seen_at=timezone.now())
        store_local_server(node, LocalServer(ok=True, runtime="ollama"))
        store_trial(node, Trial("a", ok=True))

    yield connected
    client.delete(PRESENCE_PREFIX + node)
    client.close()


def test_a_token_comes_with_what_to_run(api, settings):
    settings.PUBLIC_URL = "https://ai.example.com"
    answer = api.post("nodes/tokens", {})
    made = answer.json()
    token, command = made["token"], made["command"]
    assert answer.status_code == 201
    assert set(command) == {"ubuntu", "macos", "windows", "docker"}
    assert command["ubuntu"] == f"curl -fsSL https://ai.example.com/install.sh | SHAREAI_NODE_TOKEN={token} sh"
    assert "irm https://ai.example.com/install.ps1 | iex" in command["windows"]
    assert f"printf %s {token} | docker run" in command["docker"]
    assert (made["count"], made["used"], made["status"]) == (1, 0, "open")
    assert 890 < (EnrolmentToken.objects.get().expires_at - timezone.now()).total_seconds() <= 900


@pytest.mark.parametrize(
    ("console", "needs_word"),
    [("http://127.0.0.1:8000", False), ("http://localhost", False), ("http://10.0.0.5:8000", True)],
)
def test_a_console_without_tls_is_allowed_by_a_word_of_its_own(api, settings, console, needs_word):
    settings.PUBLIC_URL = console
    command = api.post("nodes/tokens", {}).json()["command"]
    assert ["--allow-http" in command[name] for name in ("ubuntu", "macos", "docker")] == [needs_word] * 3
    assert ("-AllowHttp" in command["windows"]) is needs_word


def test_a_token_is_shown_once_and_can_be_withdrawn(api):
    made = api.post("nodes/tokens", {"count": 50, "ttl_s": 3600}).json()
    assert made["count"] == 50
    for path in ("nodes/tokens", f"nodes/tokens/{made['id']}", "audit-events"):
        assert made["token"] not in api.get(path).content.decode()
    assert api.delete(f"nodes/tokens/{made['id']}").status_code == 204
    assert api.get(f"nodes/tokens/{made['id']}").json()["status"] == "revoked"
    assert Machine().enrol(made["token"]).status_code == 401


@pytest.mark.parametrize("body", [{"count": 0}, {"count": "1"}, {"ttl_s": 1}, {"ttl_s": 10**8}])
def test_a_token_has_bounds(api, body):
    assert refused(api.post("nodes/tokens", body), 400, "invalid_request", next(iter(body)))


def test_only_who_manages_machines_makes_tokens(api_of, alice, carol, node):
    assert refused(api_of(carol).post("nodes/tokens", {}), 403, "permission_refused")
    assert refused(api_of(carol).post(f"nodes/{node}/pause"), 403, "permission_refused")
    assert api_of(carol).get("nodes").json()["data"][0]["id"] == node


def test_a_machine_that_never_connected(api, node):
    [shown] = api.get("nodes").json()["data"]
    assert shown == api.get(f"nodes/{node}").json()
    assert (shown["slug"], shown["status"], shown["mode"], shown["routable"]) == ("box", "waiting", "always", False)
    assert [reason["code"] for reason in shown["reasons"]] == ["offline"]
    assert [model["id"] for model in shown["models"]] == ["a"]
    assert [(rung["code"], rung["state"]) for rung in shown["ladder"]][:2] == [
        ("found", "done"),
        ("authenticated", "waiting"),
    ]


def test_a_machine_that_serves(api, node, connected):
    connected(in_flight=2, queue=1)
    shown = api.get(f"nodes/{node}").json()
    assert (shown["status"], shown["routable"], shown["reasons"]) == ("online", True, [])
    assert {rung["state"] for rung in shown["ladder"]} == {"done"}
    assert (shown["in_flight"], shown["queue"]) == (2, 1)


def test_why_it_gets_no_work(api, node, connected):
    connected(accepting=False, reason="user_active")
    shown = api.get(f"nodes/{node}").json()
    assert (shown["status"], shown["routable"]) == ("busy", False)
    [reason] = shown["reasons"]
    assert (reason["code"], bool(reason["message"]), bool(reason["fix"])) == ("user_active", True, True)


def test_pause_drain_resume(api, node, connected):
    connected(in_flight=1)
    assert api.post(f"nodes/{node}/pause").json()["status"] == "paused"
    drained = api.post(f"nodes/{node}/drain").json()
    assert (drained["status"], [reason["code"] for reason in drained["reasons"]]) == ("draining", ["draining"])
    connected(in_flight=0)
    assert api.get(f"nodes/{node}").json()["status"] == "paused"
    resumed = api.post(f"nodes/{node}/resume").json()
    assert (resumed["status"], resumed["routable"]) == ("online", True)


def test_a_change_touches_what_is_given(api, node, rival):
    price = {"upstream_id": "a", "id": "small", "input_price": "0.02", "output_price": 0.04}
    hours = [{"days": [0, 1], "from": "20:00", "to": "07:00"}]
    wishes = {"mode": "idle", "calendar": hours, "models": [price], "visibility": "shared", "shared_with": ["rival"]}
    shown = api.patch(f"nodes/{node}", wishes).json()
    assert (shown["mode"], shown["calendar"], shown["visibility"]) == ("idle", hours, "shared")
    assert shown["shared_with"] == ["rival"]
    [model] = shown["models"]
    assert (model["id"], model["input_price"], model["output_price"]) == ("small", "0.02", "0.04")
    assert shown["name"] == "Box"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"mode": "never"}, "invalid_request", "mode"),
        ({"slug": "other"}, "invalid_request", "slug"),
        ({"models": [{"upstream_id": "a", "input_price": "101"}]}, "invalid_node", "models.0.input_price"),
        ({"calendar": [{"days": [0], "from": "8", "to": "9"}]}, "invalid_node", "calendar.0.from"),
        ({"shared_with": ["nobody"]}, "invalid_node", "shared_with"),
        ({"time_zone": "Nowhere"}, "invalid_node", "time_zone"),
    ],
)
def test_a_mistake_is_refused_with_its_field(api, node, change, code, param):
    assert refused(api.patch(f"nodes/{node}", change), 400, code, param)


def test_a_removed_machine_is_gone(api, node):
    assert api.delete(f"nodes/{node}").status_code == 204
    assert api.get(f"nodes/{node}").status_code == 404
    assert api.get("nodes").json()["data"] == []
    assert Node.objects.get().revoked_at is not None


def test_a_private_route_and_one_that_spills_over(api, node):
    target = {"targets": [{"target": "node/box/a"}]}
    private = api.put("routes/secret", target | {"private": True}).json()
    assert (private["private"], private["spill_over"]) == (True, None)
    spilling = api.put("routes/fast", target | {"spill_over": {"queue_above": 4}}).json()
    assert spilling["spill_over"] == {"queue_above": 4}
    both = target | {"private": True, "spill_over": {"queue_above": 4}}
    assert refused(api.put("routes/both", both), 400, "invalid_request", "spill_over")


def test_a_machines_models_are_targets_and_models(api, node):
    [target] = api.get("targets").json()["data"]
    assert (target["name"], target["place"], target["is_own"], target["provider"]) == (
        "node/box/a",
        "own",
        True,
        "node/box",
    )
    assert target["price"]["input_price"] == "0"
    [model] = api.get("models").json()["data"]
    assert (model["id"], model["targets"]) == ("a", ["node/box/a"])


def test_a_shared_machine_is_a_target_of_its_guest_by_its_name_alone(api, rival_api, node):
    api.patch(f"nodes/{node}", {"visibility": "shared", "shared_with": ["rival"]})
    [target] = rival_api.get("targets").json()["data"]
    assert (target["name"], target["place"], target["is_own"]) == ("node/acme.box/a", "guest", False)
    assert [model["id"] for model in rival_api.get("models").json()["data"]] == ["node/acme.box/a"]
    assert rival_api.get("nodes").json()["data"] == []
    assert rival_api.get(f"nodes/{node}").status_code == 404


def test_the_community_is_a_wish_of_the_organisation(api, rival_api, node):
    api.patch(f"nodes/{node}", {"visibility": "community"})
    assert rival_api.get("models").json()["data"] == []
    assert rival_api.patch("organization", {"uses_community_nodes": True}).json()["uses_community_nodes"] is True
    assert [model["id"] for model in rival_api.get("models").json()["data"]] == ["a"]
    assert "box" not in rival_api.get("targets").content.decode()
