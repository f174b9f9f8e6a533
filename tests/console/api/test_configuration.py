"""The configuration taken out of one organisation and put into another: what travels, what cannot, and why."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from django.core import mail

from accounts.models import AuditEvent, Invitation
from nodes import services as machines
from nodes.enrolment import create_token
from nodes.findings import store_models
from nodes.models import Node
from nodes.reports import parse
from providers.keypool import NEEDS_KEY
from providers.models import Connection
from routing.models import Route, RouteVersion
from tests.console.api.conftest import Api, refused
from tests.nodes.machine import Machine

pytestmark = pytest.mark.django_db

SECRET = "sk-secret-of-an-upstream-0123456789"
MODEL = {
    "id": "small",
    "upstream_id": "llama",
    "input_price": "0.05",
    "output_price": "0.08",
    "price_tiers": [{"above_tokens": 1000, "input_price": "1", "output_price": "2"}],
    "capabilities": ["tools"],
}
RULE = 'when tag is "batch" use cheapest of "up/small"'


def machine_of(organization: Any, actor: Any) -> Node:
    node = Node.objects.get(public_id=Machine().enrol(create_token(organization, actor).plain).json()["node"])
    store_models(node.public_id, parse({"models": [{"id": "gguf", "runtime": "ollama"}]}).models)
    return node


@pytest.fixture
def whole(api: Api, acme, as_alice, bob) -> dict[str, Any]:
    """Acme with something in every section, as its file says it."""
    provider = {"name": "Up", "base_url": "https://llm.example.com/v1", "api_keys": [SECRET], "models": [MODEL]}
    assert api.post("providers", provider | {"options": {"data_collection": "deny"}}).status_code == 201
    route = {"targets": [{"target": "up/small", "weight": 3}], "rules": [RULE], "hedge": {"after_ms": 100}}
    assert api.put("routes/team/fast", route | {"cache": {"ttl_s": 60}}).status_code == 200
    key = api.post("keys", {"name": "Shop", "models": ["small"], "tags": ["batch"], "limits": {"rpm": 5}}).json()
    for policy in ({"scope": "organization", "ttl_s": 30}, {"scope": "key", "subject": key["id"], "ttl_s": 0}):
        assert api.put("cache/policies", policy).status_code == 200
    budgets = {"budgets": [{"amount_usd": "9.5", "window": "monthly"}], "when_reached": "warn"}
    assert api.put("limits", {"rpm": 600} | budgets).status_code == 200
    assert api.put("limits/routes/team/fast", {"tpm": 1000}).status_code == 200
    [member] = [row["id"] for row in api.get("members").json()["data"] if row["email"] == bob.email]
    assert api.put(f"members/{member}/limits", {"tpd": 7}).status_code == 200
    node = machine_of(acme, as_alice)
    hours = [{"days": [0], "from": "20:00", "to": "07:00"}]
    priced = [{"upstream_id": "gguf", "input_price": "0.02", "output_price": "0.04", "advertised": True}]
    wishes = {"mode": "idle", "calendar": hours, "tags": ["rack"], "models": priced}
    assert api.patch(f"nodes/{node.public_id}", wishes).status_code == 200
    assert api.put(f"limits/nodes/{node.public_id}", {"concurrency": 2}).status_code == 200
    assert api.patch("organization", {"time_zone": "Asia/Bangkok", "retention_days": 5}).status_code == 200
    assert api.put("earnings/programme", {"kind": "exchange"}).status_code == 200
    file: dict[str, Any] = api.get("config").json()
    return file


def brought_in(api: Api, file: dict[str, Any], **wishes: Any) -> dict[tuple[str, str], tuple[str, str]]:
    answer = api.post("config", {"configuration": file} | wishes)
    assert answer.status_code == 200, answer.content
    return {(line["section"], line["name"]): (line["outcome"], line["note"]) for line in answer.json()["lines"]}


def test_the_file_as_it_came_is_a_whole_import(api, whole):
    answer = api.post("config", whole)
    assert answer.status_code == 200, answer.content
    outcomes = {line["outcome"] for line in answer.json()["lines"]}
    assert outcomes == {line["outcome"] for line in api.post("config", {"configuration": whole}).json()["lines"]}
    assert "refused" not in outcomes


def test_an_export_holds_every_section_and_no_secret(api, whole):
    assert all(whole[section] for section in ("settings", "earnings", "members", "providers", "nodes", "routes"))
    assert all(whole[section] for section in ("cache_policies", "keys", "limits"))
    assert SECRET not in api.get("config").content.decode()
    [provider] = whole["providers"]
    assert (provider["slug"], provider["keys"]) == ("up", 1)


def test_what_was_exported_changes_nothing_where_it_came_from(api, acme, whole):
    events, versions = AuditEvent.objects.of(acme).count(), RouteVersion.objects.count()
    outcomes = brought_in(api, whole)
    assert {outcome for outcome, _note in outcomes.values()} == {"unchanged"}
    assert AuditEvent.objects.of(acme).count() == events + 1
    assert RouteVersion.objects.count() == versions


def test_another_organisation_becomes_the_same(rival_api, rival, mallory, as_mallory, whole):
    """Its machine and its key bear the names already; of the rest nothing is there."""
    node = machine_of(rival, as_mallory)
    Node.objects.filter(pk=node.pk).update(slug=whole["nodes"][0]["slug"])
    rival_api.post("keys", {"name": "Shop"})
    outcomes = brought_in(rival_api, whole, sections=[name for name in whole if name in SECTIONS])
    assert "refused" not in {outcome for outcome, _note in outcomes.values()}
    assert [name for name, (outcome, _) in outcomes.items() if outcome == "skipped"] == [
        ("limits", "member bob@acme.test")
    ]
    theirs = rival_api.get("config").json()
    for section in ("settings", "earnings", "nodes", "routes", "cache_policies"):
        assert theirs[section] == whole[section], section
    assert [row for row in theirs["keys"] if row["name"] == "Shop"] == [
        row for row in whole["keys"] if row["name"] == "Shop"
    ]
    assert theirs["limits"] == [row for row in whole["limits"] if row["scope"] != "member"]
    assert theirs["providers"] == [whole["providers"][0] | {"keys": 0}]
    assert outcomes[("providers", "up")][1].startswith("Enter its keys next")
    assert Connection.objects.of(rival).get().options[NEEDS_KEY]


def test_a_file_that_names_a_programme_says_the_same_and_a_mix_is_told_whole(api, whole):
    for programme, outcome in (({"kind": "exchange"}, "unchanged"), ({"rewards": 60, "exchange": 40}, "changed")):
        earnings = whole["earnings"] | {"programme": programme}
        assert brought_in(api, whole | {"earnings": earnings})["earnings", ""] == (outcome, "")
    assert api.get("config").json()["earnings"]["programme"] == {"rewards": 60, "exchange": 40}


SECTIONS = ("settings", "earnings", "providers", "nodes", "routes", "cache_policies", "keys", "limits")


def test_a_dry_run_foretells_the_import_and_changes_nothing(rival_api, rival, whole):
    before = rival_api.get("config").json()
    foretold = brought_in(rival_api, whole, dry_run=True)
    assert not mail.outbox
    assert not Invitation.objects.of(rival).exists()
    assert not Route.objects.of(rival).exists()
    assert rival_api.get("config").json() | {"exported_at": ""} == before | {"exported_at": ""}
    assert brought_in(rival_api, whole) == foretold
    assert Invitation.objects.of(rival).filter(email="bob@acme.test", role="developer").exists()


def test_what_no_file_can_make_is_told_with_a_way_on(rival_api, whole):
    outcomes = brought_in(rival_api, whole)
    slug = whole["nodes"][0]["slug"]
    for name in (("nodes", slug), ("limits", f"node {slug}"), ("keys", "Shop"), ("limits", "key Shop")):
        outcome, note = outcomes[name]
        assert outcome == "skipped"
        assert "then import again" in note


def test_one_mistake_stops_nothing_else(rival_api, whole):
    file = deepcopy(whole)
    file["routes"].append({"name": "lost", "targets": [{"target": "no/such"}]})
    file["providers"].append({"slug": "bad", "name": "Bad", "base_url": "ftp://x", "secret": 1})
    file["limits"].append({"scope": "organisation", "rpm": -1})
    file["members"].append("nonsense")
    outcomes = brought_in(rival_api, file)
    assert outcomes[("routes", "team/fast")][0] == "created"
    assert outcomes[("routes", "lost")] == ("refused", "targets: There is no model or target “no/such”.")
    assert outcomes[("providers", "bad")][0] == outcomes[("limits", "organisation")][0] == "refused"
    assert outcomes[("members", "")][0] == "refused"


def test_another_address_of_a_provider_says_that_its_keys_go(api, whole):
    file = deepcopy(whole)
    file["providers"][0]["base_url"] = "https://other.example.com/v1"
    outcome, note = brought_in(api, file, dry_run=True)[("providers", "up")]
    assert outcome == "changed"
    assert "forgotten" in note


def test_an_import_locks_nobody_out(api_of, alice, acme, whole):
    file = {**whole, "members": [{"email": alice.email, "role": "viewer"}]}
    assert brought_in(api_of(alice), file)[("members", alice.email)] == ("skipped", "Your own role stays as it is.")


@pytest.mark.parametrize(
    ("file", "field"),
    [
        ({}, "format"),
        ({"format": "other", "version": 1}, "format"),
        ({"format": "shareai-configuration", "version": 2}, "version"),
        ({"format": "shareai-configuration", "version": 1, "routs": []}, "routs"),
        ({"format": "shareai-configuration", "version": 1, "routes": {}}, "routes"),
    ],
)
def test_what_is_no_configuration_is_refused_as_a_whole(api, file, field):
    assert refused(api.post("config", {"configuration": file}), 400, "invalid_request", field)


def test_who_may_not_manage_the_organisation_neither_exports_nor_imports(api_of, bob, acme):
    assert api_of(bob).get("config").status_code == 403
    assert api_of(bob).post("config", {"configuration": {}}).status_code == 403


def test_a_revoked_machine_is_not_part_of_it(api, acme, as_alice, whole):
    machines.revoke_node(Node.objects.of(acme).get(), as_alice)
    assert api.get("config").json()["nodes"] == []
