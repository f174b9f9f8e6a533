from __future__ import annotations

import pytest

from accounts.models import ApiKey, AuditEvent
from nodes.findings import store_models
from nodes.reports import parse
from tests.console.api.conftest import add_provider, error_of, refused
from tests.nodes.machine import Machine

pytestmark = pytest.mark.django_db

TARGETS = [{"target": "a/small", "weight": 3}, {"target": "b/small", "tier": 1}]


@pytest.fixture(autouse=True)
def providers(api) -> list[dict]:
    return [add_provider(api, name, "small") for name in ("A", "B")]


def test_a_route_is_put_shown_listed_and_deleted(api):
    answer = api.put(
        "routes/team/fast", {"strategy": "weighted", "targets": TARGETS, "timeouts": {"first_byte_s": 20}}
    )
    put = answer.json()
    assert (answer.status_code, put["name"], put["strategy"]) == (200, "team/fast", "weighted")
    assert put["targets"] == [
        {"target": "a/small", "weight": 3, "tier": 0},
        {"target": "b/small", "weight": 1, "tier": 1},
    ]
    assert put["timeouts"] == {"first_byte_s": 20.0}
    assert put.pop("warnings") == []
    assert api.get("routes/team/fast").json() == put
    assert api.get("routes").json()["data"] == [put]
    assert api.delete("routes/team/fast").status_code == 204
    assert refused(api.get("routes/team/fast"), 404, "not_found")


def test_a_rule_that_asks_for_nobody_is_put_with_a_warning(api, acme, alice):
    key = ApiKey.objects.of(acme).first()
    rules = [
        f'when key is "{key.name}" or "Shop" use cheapest of "small"',
        f'when member is "{alice.email}" or "gone@acme.test" use cheapest of "small"',
    ]
    answer = api.put("routes/fast", {"targets": TARGETS, "rules": rules})
    assert answer.status_code == 200, answer.text
    assert answer.json()["warnings"] == [
        "No API key in use is called “Shop”.",
        "No member has the e-mail address “gone@acme.test”.",
    ]


def test_putting_again_replaces_everything(api, acme):
    api.put("routes/fast", {"strategy": "weighted", "targets": TARGETS, "timeouts": {"first_byte_s": 20}})
    put = api.put("routes/fast", {"targets": TARGETS[:1]}).json()
    assert (put["strategy"], put["timeouts"], len(put["targets"])) == ("priority", {}, 1)
    actions = AuditEvent.objects.of(acme).filter(object_type="route").values_list("action", flat=True)
    assert [*actions.order_by("sequence")] == ["route.created", "route.updated"]


def test_what_a_route_falls_back_to_comes_after_all_its_tiers(api):
    legs, later = [{"target": "a/small", "tier": 2}], [{"target": "b/small"}, {"target": "small"}]
    put = api.put("routes/fast", {"targets": legs, "fallback": later})
    assert put.status_code == 200, put.text
    assert [(leg["target"], leg["tier"]) for leg in put.json()["targets"]] == [
        ("a/small", 2),
        ("b/small", 3),
        ("small", 4),
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "targets"),
        ({"targets": []}, "targets"),
        ({"targets": [{}]}, "targets.0.target"),
        ({"targets": [{"target": "fast"}]}, "targets"),
        ({"targets": [{"target": "a/b", "weight": -1}]}, "targets.0.weight"),
        ({"targets": [{"target": "a/b", "weight": "1"}]}, "targets.0.weight"),
        ({"targets": [{"target": "a/b"}] * 51}, "targets"),
        ({"targets": [{"target": "a/b", "colour": "red"}]}, "targets.0.colour"),
        ({"targets": TARGETS, "strategy": "best"}, "strategy"),
        ({"targets": TARGETS, "timeouts": {"first_byte_s": 0}}, "timeouts.first_byte_s"),
        ({"targets": TARGETS, "timeouts": {"first_byte_s": 301}}, "timeouts.first_byte_s"),
        ({"targets": TARGETS, "enabled": "yes"}, "enabled"),
        ({"targets": TARGETS, "fallbacks": []}, "fallbacks"),
        ({"targets": TARGETS, "fallback": [{}]}, "fallback.0.target"),
        ({"targets": TARGETS, "fallback": [{"target": "a/small"}] * 49}, "fallback"),
        ({"targets": [{"target": "a/small", "tier": 100}], "fallback": [{"target": "b/small"}]}, "fallback"),
    ],
)
def test_a_mistake_is_refused_with_its_field(api, body, param):
    assert refused(api.put("routes/fast", body), 400, "invalid_request", param)
    assert api.get("routes/fast").status_code == 404


@pytest.mark.parametrize("name", ["with%20space", "with:colon", "x" * 201])
def test_a_name_that_is_none_is_refused(api, name):
    assert refused(api.put(f"routes/{name}", {"targets": TARGETS}), 400, "invalid_request", "name")


def test_a_name_with_control_characters_is_no_address(api):
    assert error_of(api.put("routes/a%00b", {"targets": TARGETS}))["code"] == "not_found"


@pytest.mark.parametrize("target", ["c/small", "small/a", "a/large", "large", "a/", "rivals/own"])
def test_a_target_that_does_not_exist_is_refused_by_its_name(api, rival_api, target):
    add_provider(rival_api, "Rivals", "own")
    answer = api.put("routes/fast", {"targets": [TARGETS[0], {"target": target}]})
    assert refused(answer, 400, "invalid_request", "targets")
    assert f"“{target}”" in error_of(answer)["message"]
    assert api.get("routes/fast").status_code == 404


def test_a_name_that_is_nearly_right_is_told(api):
    assert "“a/small”" in error_of(api.put("routes/fast", {"targets": [{"target": "a/smal"}]}))["message"]


def test_a_route_may_lead_to_a_model_by_name_and_to_what_is_switched_off(api, providers):
    api.patch(f"providers/{providers[1]['id']}", {"enabled": False})
    legs = [{"target": "small"}, {"target": "b/small"}]
    assert api.put("routes/fast", {"targets": legs}).status_code == 200


def test_a_route_may_lead_to_a_machine(api):
    token = api.post("nodes/tokens", {}).json()["token"]
    node = Machine().enrol(token, name="Box").json()["node"]
    store_models(node, parse({"models": [{"id": "a", "runtime": "ollama"}]}).models)
    assert api.put("routes/fast", {"targets": [{"target": "node/box/a"}, {"target": "a"}]}).status_code == 200
    assert refused(api.put("routes/fast", {"targets": [{"target": "node/box/b"}]}), 400, "invalid_request", "targets")


def test_a_route_outlives_its_targets(api, providers):
    api.put("routes/fast", {"targets": TARGETS})
    api.delete(f"providers/{providers[1]['id']}")
    assert [leg["target"] for leg in api.get("routes/fast").json()["targets"]] == ["a/small", "b/small"]


def test_a_route_says_how_long_its_answers_are_kept(api):
    put = api.put("routes/fast", {"targets": TARGETS, "cache": {"ttl_s": 60}}).json()
    assert (put["cache"], put.pop("warnings")) == ({"ttl_s": 60}, [])
    assert [policy["subject"] for policy in api.get("cache/policies").json()["data"]] == ["fast"]
    assert api.get("routes/fast").json() == api.get("routes").json()["data"][0] == put
    assert api.put("routes/fast", {"targets": TARGETS}).json()["cache"] is None
    assert api.get("cache/policies").json()["data"] == []


def test_the_cache_policy_of_a_route_goes_with_it(api):
    api.put("routes/fast", {"targets": TARGETS, "cache": {"ttl_s": 60}})
    api.delete("routes/fast")
    assert api.get("cache/policies").json()["data"] == []


@pytest.mark.parametrize("cache", [{"ttl_s": -1}, {"ttl_s": "60"}, {"ttl_s": 2_592_001}, {}])
def test_a_time_that_is_none_is_refused(api, cache):
    assert refused(
        api.put("routes/fast", {"targets": TARGETS, "cache": cache}), 400, "invalid_request", "cache.ttl_s"
    )
