"""What an owner does with machines: the rows, the trail, who may, and who is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from accounts.errors import NotPermitted
from accounts.models import AuditEvent
from accounts.organizations import update_organization
from nodes import announcements, services
from nodes.admission import load_standing, open_connection
from nodes.errors import InvalidNode, NodeRevoked
from nodes.findings import store_models
from nodes.models import Node, NodeModel
from nodes.reports import parse
from nodes.services import update_node
from providers.services import create_connection

TIER = {"above_tokens": 32_000, "input_price": "2", "output_price": "8"}
TIERS = "models.0.price_tiers"


pytestmark = pytest.mark.django_db


def last_event(org) -> AuditEvent:
    return AuditEvent.objects.of(org).order_by("-sequence")[0]


def version_of(org) -> int:
    org.refresh_from_db()
    return org.version


def test_a_change_is_made_told_and_audited(acme, as_alice, enrolled):
    node, before = enrolled(), version_of(acme)
    update_node(node, as_alice, {"name": "  Lab  box ", "mode": "idle", "quiet_minutes": 5, "max_concurrent": 2})
    node.refresh_from_db()
    assert (node.name, node.slug, node.mode, node.quiet_minutes) == ("Lab box", "workbench", "idle", 5)
    assert version_of(acme) > before
    event = last_event(acme)
    assert (event.action, event.object_id) == ("node.updated", node.public_id)
    assert (event.before["mode"], event.after["mode"]) == ("always", "idle")
    assert "visibility" not in event.after


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": " "}, "name"),
        ({"mode": "sometimes"}, "mode"),
        ({"visibility": "public"}, "visibility"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"max_concurrent": True}, "max_concurrent"),
        ({"gpu_below": 1.5}, "gpu_below"),
        ({"gpu_below": float("nan")}, "gpu_below"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"calendar": "always"}, "calendar"),
        ({"calendar": [{"days": [7], "from": "08:00", "to": "09:00"}]}, "calendar.0.days"),
        ({"calendar": [{"days": [0], "from": "8:00", "to": "09:00"}]}, "calendar.0.from"),
        ({"calendar": [{"days": [0], "from": "08:00", "to": "08:00"}]}, "calendar.0.to"),
        ({"shared_with": ["nobody"]}, "shared_with"),
        ({"shared_with": ["acme"]}, "shared_with"),
        ({"colour": "red"}, "colour"),
        ({"models": [{"upstream_id": "nope"}]}, "models.0.upstream_id"),
        ({"models": [{"upstream_id": "a", "input_price": "-1"}]}, "models.0.input_price"),
        ({"models": [{"upstream_id": "a", "input_price": "100.000001"}]}, "models.0.input_price"),
        ({"models": [{"upstream_id": "a", "price_tiers": [TIER | {"above_tokens": 0}]}]}, f"{TIERS}.0.above_tokens"),
        ({"models": [{"upstream_id": "a", "price_tiers": [TIER, TIER]}]}, f"{TIERS}.1.above_tokens"),
        (
            {"models": [{"upstream_id": "a", "price_tiers": [TIER | {"output_price": "101"}]}]},
            f"{TIERS}.0.output_price",
        ),
        ({"models": [{"upstream_id": "a", "price_tiers": [TIER | {"output_price": ""}]}]}, f"{TIERS}.0.output_price"),
        (
            {"models": [{"upstream_id": "a", "price_tiers": [TIER | {"reasoning_price": "1"}]}]},
            f"{TIERS}.0.reasoning_price",
        ),
        ({"models": [{"upstream_id": "a", "id": "node/x"}]}, "models.0.id"),
        ({"models": [{"upstream_id": "a", "id": "x:local"}]}, "models.0.id"),
        ({"models": [{"upstream_id": "a", "id": "b"}]}, "models.0.id"),
        ({"models": [{"upstream_id": "a"}, {"upstream_id": "a"}]}, "models.1.upstream_id"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing_behind(acme, as_alice, enrolled, given, field):
    node = enrolled("Box", "a", "b")
    rows = list(Node.objects.values()), list(NodeModel.objects.values())
    with pytest.raises(InvalidNode) as refusal:
        update_node(node, as_alice, {"priority": 7} | given)
    assert list(refusal.value.fields) == [field]
    assert (list(Node.objects.values()), list(NodeModel.objects.values())) == rows


def test_the_operator_bounds_prices(as_alice, enrolled, settings):
    settings.NODE_PRICE_LEAST_USD, settings.NODE_PRICE_MOST_USD = 0.01, 2.0
    node = enrolled("Box", "a")
    with pytest.raises(InvalidNode) as refusal:
        update_node(node, as_alice, {"models": [{"upstream_id": "a", "output_price": "0"}]})
    assert "0.01" in refusal.value.message
    update_node(node, as_alice, {"models": [{"upstream_id": "a", "output_price": "2"}]})


def test_a_new_price_is_a_new_version_and_the_same_price_is_not(as_alice, enrolled):
    node, price = enrolled("Box", "a"), {"upstream_id": "a", "input_price": "0.15", "output_price": "0.000001"}
    for _ in range(2):
        update_node(node, as_alice, {"models": [price]})
    row = NodeModel.objects.get()
    assert (row.input_price_nanos, row.output_price_nanos, row.price_version) == (150_000_000, 1_000, 2)


def test_new_tiers_are_a_new_version_and_the_same_tiers_are_not(as_alice, enrolled):
    node = enrolled("Box", "a")
    for tiers in ([TIER], [TIER], [TIER | {"above_tokens": 200_000}, TIER], []):
        update_node(node, as_alice, {"models": [{"upstream_id": "a", "price_tiers": tiers}]})
        row = NodeModel.objects.get()
        assert [tier["above_tokens"] for tier in row.price_tiers] == sorted(tier["above_tokens"] for tier in tiers)
    assert row.price_version == 4
    update_node(node, as_alice, {"models": [{"upstream_id": "a", "advertised": True}]})
    assert NodeModel.objects.get().price_version == 4


def test_models_may_swap_their_names(as_alice, enrolled):
    node = enrolled("Box", "a", "b")
    update_node(node, as_alice, {"models": [{"upstream_id": "a", "id": "b"}, {"upstream_id": "b", "id": "a"}]})
    assert dict(NodeModel.objects.values_list("upstream_id", "model_id")) == {"a": "b", "b": "a"}


def test_only_who_may_manage_machines_changes_one(acme, as_bob, as_carol, as_mallory, enrolled):
    node = enrolled()
    for actor in (as_bob, as_carol, as_mallory):
        for use in (services.pause_node, services.drain_node, services.revoke_node, services.remove_node):
            with pytest.raises(NotPermitted):
                use(node, actor)
        with pytest.raises(NotPermitted):
            update_node(node, actor, {"name": "Taken"})
    node.refresh_from_db()
    assert (node.paused, node.revoked_at, node.name) == (False, None, "Workbench")


def test_pause_drain_resume(acme, as_alice, enrolled):
    node = enrolled()
    services.pause_node(node, as_alice)
    assert load_standing(node.public_id).config["paused"] is True
    assert services.drain_node(node, as_alice).draining_since is not None
    resumed = services.resume_node(node, as_alice)
    assert (resumed.paused, resumed.draining_since) == (False, None)
    events = AuditEvent.objects.of(acme).count()
    services.resume_node(node, as_alice)
    assert AuditEvent.objects.of(acme).count() == events


def test_a_revoked_node_stays_revoked(as_alice, enrolled):
    node = services.revoke_node(enrolled(), as_alice)
    first = node.revoked_at
    assert services.revoke_node(node, as_alice).revoked_at == first
    assert load_standing(node.public_id).revoked
    for use in (services.pause_node, services.resume_node):
        with pytest.raises(NodeRevoked):
            use(node, as_alice)


def test_each_connection_has_a_higher_generation(enrolled):
    node = enrolled()
    assert [open_connection(node.pk, "0.2.0") for _ in range(3)] == [1, 2, 3]
    node.refresh_from_db()
    assert node.version == "0.2.0"
    assert node.first_seen_at < node.last_seen_at


def test_what_is_sent_to_a_node(as_alice, enrolled):
    node = enrolled("Box", "a", "b")
    hours = [{"days": [5, 6], "from": "22:00", "to": "06:00"}]
    update_node(node, as_alice, {"mode": "idle", "calendar": hours, "time_zone": "Asia/Bangkok"})
    assert load_standing(node.public_id).config == {
        "paused": False,
        "mode": "idle",
        "models": None,
        "idle": {"quiet_minutes": 10, "gpu_below": 0.2, "calendar": hours, "time_zone": "Asia/Bangkok"},
        "max_concurrent": 4,
    }
    chosen = {"advertise_new": False, "models": [{"upstream_id": "a", "advertised": False}]}
    update_node(node, as_alice, chosen)
    assert load_standing(node.public_id).config["models"] == ["b"]


def test_guests_learn_of_what_concerns_them(acme, rival, as_alice, as_mallory, enrolled):
    node, before = enrolled(), version_of(rival)
    update_node(node, as_alice, {"shared_with": ["rival"]})
    assert version_of(rival) == before, "it is not shared yet"
    update_node(node, as_alice, {"visibility": "shared"})
    services.pause_node(node, as_alice)
    assert version_of(rival) == before + 2
    update_node(node, as_alice, {"shared_with": []})
    assert version_of(rival) == before + 3
    services.resume_node(node, as_alice)
    assert version_of(rival) == before + 3
    update_organization(rival, as_mallory, uses_community_nodes=True)
    update_node(node, as_alice, {"visibility": "community"})
    services.revoke_node(node, as_alice)
    assert version_of(rival) == before + 6


@pytest.fixture
def heard() -> Iterator[redis.client.PubSub]:
    client = redis.Redis.from_url(settings.REDIS_URL)
    with client.pubsub(ignore_subscribe_messages=True) as listening:
        listening.subscribe(announcements.REVOKED, announcements.CHANGED)
        for _ in range(2):
            listening.get_message(timeout=5)
        yield listening
    client.close()


@pytest.mark.django_db(transaction=True)
def test_who_holds_the_socket_is_told(as_alice, enrolled, heard):
    node = enrolled("Box", "a")
    services.pause_node(node, as_alice)
    services.remove_node(node, as_alice)
    said = []
    while message := heard.get_message(timeout=1):
        assert message["data"].decode() == node.public_id
        said.append(message["channel"].decode())
    assert said == [announcements.CHANGED] * 2 + [announcements.REVOKED]


def test_what_a_node_lists_becomes_rows(acme, enrolled):
    node = enrolled("Box", "a")
    row = NodeModel.objects.of(acme).get()
    assert (row.model_id, row.advertised, row.present, row.kind) == ("a", True, True, "chat")
    said = {"id": "a", "runtime": "vllm", "context": 8192, "capabilities": {"chat": True, "tools": False}}
    vectors = {"id": "e", "runtime": "vllm", "capabilities": {"embeddings": True, "chat": False}}
    before = version_of(acme)
    assert store_models(node.public_id, parse({"models": [said, vectors]}).models)
    assert not store_models(node.public_id, parse({"models": [said, vectors]}).models)
    assert version_of(acme) == before + 1
    rows = {row.upstream_id: row for row in NodeModel.objects.all()}
    assert (rows["a"].context_tokens, rows["a"].capabilities, rows["e"].kind) == (8192, ["chat"], "embedding")
    assert store_models(node.public_id, parse({"models": [vectors]}).models)
    assert [row.upstream_id for row in NodeModel.objects.filter(present=False)] == ["a"]


def test_models_found_later_are_offered_only_if_wished(as_alice, enrolled):
    node = enrolled("Box", "a")
    update_node(node, as_alice, {"advertise_new": False})
    store_models(node.public_id, parse({"models": [{"id": m, "runtime": "ollama"} for m in ("a", "b")]}).models)
    assert dict(NodeModel.objects.values_list("upstream_id", "advertised")) == {"a": True, "b": False}


def test_no_node_takes_over_a_providers_name_by_listing_it(acme, as_alice, enrolled):
    create_connection(
        acme, as_alice, preset="custom", name="Up", base_url="https://llm.example/v1", models=[{"id": "gpt-x"}]
    )
    enrolled("Box", "gpt-x", "mine")
    assert dict(NodeModel.objects.values_list("model_id", "advertised")) == {"gpt-x": False, "mine": True}


def test_a_revoked_node_is_not_listened_to(as_alice, enrolled):
    node = services.revoke_node(enrolled("Box", "a"), as_alice)
    assert not store_models(node.public_id, parse({"models": []}).models)
    assert NodeModel.objects.get().present
