"""From rows to targets: whose machines an organisation sees, by which names, and what stands against each."""

from __future__ import annotations

import pytest

from accounts.organizations import create_organization, update_organization
from nodes import services
from nodes.findings import Trial, store_trial
from nodes.models import Node
from nodes.services import update_node
from nodes.sources import load_targets
from providers.targets import GUEST, OWN, Price
from routing.services import put_route
from routing.sources import load_snapshot

pytestmark = pytest.mark.django_db


def names(org, *, uses_community: bool = False) -> list[str]:
    return [target.name for target in load_targets(org.pk, uses_community=uses_community)]


def seen_by(org) -> str:
    """Everything of the snapshot, as text."""
    return repr(load_snapshot(org.pk))


def test_an_own_machine_is_a_target_like_any_other(acme, as_alice, enrolled):
    node = enrolled("Box", "a")
    prices = {"upstream_id": "a", "id": "small", "input_price": "0.1", "output_price": "0.2"}
    update_node(node, as_alice, {"models": [prices], "max_concurrent": 3, "priority": 50})
    [target] = load_targets(acme.pk, uses_community=False)
    assert (target.name, target.connection_slug, target.upstream_id) == ("node/box/small", "node/box", "a")
    assert (target.adapter, target.transport, target.base_url) == ("openai", "tunnel", f"node://{node.public_id}")
    assert (target.place, target.node, target.slots, target.priority) == (OWN, node.public_id, 3, 50)
    assert target.price == Price(100_000_000, 200_000_000, version=2)
    assert target.id < 0
    snapshot = load_snapshot(acme.pk)
    assert snapshot.by_model["small"] == (target,)
    assert snapshot.by_name["node/box/small"] == target


def test_another_organisation_sees_neither_node_nor_model(acme, rival, as_alice, enrolled):
    node = enrolled("Sesame box", "sesame-model")
    put_route(acme, as_alice, "sesame-route", {"targets": [{"target": "sesame-model"}]})
    for use in (lambda: None, lambda: services.pause_node(node, as_alice)):
        use()
        assert "sesame" in seen_by(acme)
        assert "sesame" not in seen_by(rival)
        assert node.public_id not in seen_by(rival)


def test_a_shared_machine_is_seen_by_those_it_is_shared_with(acme, rival, mallory, as_alice, enrolled):
    third = create_organization(mallory, "Third")
    node = enrolled("Box", "a", "b")
    hidden = {"upstream_id": "b", "for_others": False}
    update_node(node, as_alice, {"visibility": "shared", "shared_with": ["rival"], "models": [hidden]})
    [target] = load_targets(rival.pk, uses_community=False)
    assert (target.name, target.place, target.org_id) == ("node/acme.box/a", GUEST, acme.pk)
    assert names(third) == []
    assert names(acme) == ["node/box/a", "node/box/b"]
    snapshot = load_snapshot(rival.pk)
    assert "a" not in snapshot.by_model, "nobody draws another's requests by naming a model well"
    assert snapshot.model_names() == ["node/acme.box/a"]
    update_node(node, as_alice, {"shared_with": []})
    assert names(rival) == []


def test_the_community_is_seen_by_those_who_want_it_and_stays_unnamed(acme, rival, as_alice, as_mallory, enrolled):
    node = enrolled("Sesame box", "a")
    update_node(node, as_alice, {"visibility": "community"})
    assert load_snapshot(rival.pk).model_names() == []
    update_organization(rival, as_mallory, uses_community_nodes=True)
    snapshot = load_snapshot(rival.pk)
    [target] = snapshot.by_model["a"]
    assert target.name == f"node/community-{node.public_id[-8:]}/a"
    assert target.place == GUEST
    assert "sesame" not in repr(snapshot).lower()
    assert "acme" not in repr(snapshot).lower()


def test_own_machines_come_before_others(acme, rival, as_alice, as_mallory, enrolled):
    update_node(enrolled("Theirs", "a"), as_alice, {"visibility": "community", "priority": 1})
    enrolled("Ours", "a", org=rival, actor=as_mallory)
    assert [name.partition("/")[2].split("-")[0] for name in names(rival, uses_community=True)] == [
        "ours/a",
        "community",
    ]


def test_what_stands_against_it_is_told(acme, as_alice, enrolled):
    node = enrolled("Box", "a")

    def unroutable() -> str:
        return load_targets(acme.pk, uses_community=False)[0].unroutable

    assert unroutable() == ""
    store_trial(node.public_id, Trial("a", ok=False, error="no answer"))
    assert unroutable() == "trial_failed"
    store_trial(node.public_id, Trial("a", ok=True, first_token_ms=120.0))
    assert unroutable() == ""
    Node.objects.update(paused=True)
    assert unroutable() == "node_paused"
    services.drain_node(node, as_alice)
    assert unroutable() == "node_draining"
    services.resume_node(node, as_alice)
    node.served_models.update(present=False)
    assert unroutable() == "model_gone"
    node.served_models.update(advertised=False)
    assert names(acme) == []


def test_a_revoked_machine_is_no_target(acme, as_alice, enrolled):
    services.revoke_node(enrolled(), as_alice)
    assert names(acme) == []


def test_two_queries_or_three_and_no_more_with_many_machines(
    acme, rival, as_alice, as_mallory, enrolled, django_assert_num_queries
):
    """Whatever of a row is not loaded at once would be a query for each. The third is for the names of who shares."""
    for number in range(4):
        node = enrolled(f"Box {number}", "a", "b", "c")
        visible = {"visibility": "shared", "shared_with": ["rival"]} if number % 2 else {"visibility": "community"}
        update_node(node, as_alice, visible)
    for org, queries in ((acme, 2), (rival, 3)):
        with django_assert_num_queries(queries):
            assert len(load_targets(org.pk, uses_community=True)) == 12


def test_a_private_route_that_is_switched_off_leads_nowhere(acme, as_alice, enrolled):
    enrolled("Box", "m")
    wishes = {"targets": [{"target": "node/box/m"}], "private": True, "enabled": False}
    put_route(acme, as_alice, "secret", wishes)
    put_route(acme, as_alice, "open", wishes | {"private": False})
    routes = load_snapshot(acme.pk).routes
    assert (routes["secret"].private, routes["secret"].legs) == (True, ())
    assert "open" not in routes
