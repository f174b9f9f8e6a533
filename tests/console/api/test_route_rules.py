"""Rules by the management API: kept in one form, checked when they are saved, part of each version."""

from __future__ import annotations

import pytest

from accounts.models import AuditEvent
from tests.console.api.conftest import add_provider, error_of, refused

pytestmark = pytest.mark.django_db

LEGS = [{"target": "a/small"}]
RULE = 'when tag is "batch" use cheapest of "a/small", "b/small" then on timeout fall back to priority of "small"'


@pytest.fixture(autouse=True)
def providers(api) -> list[dict]:
    return [add_provider(api, name, "small") for name in ("A", "B")]


def put(api, *rules, name: str = "fast"):
    return api.put(f"routes/{name}", {"targets": LEGS, "rules": list(rules)})


def test_rules_are_put_in_order_and_kept_in_one_form(api):
    loose = 'when   tag is "batch"   use cheapest of "a/small" weight 1 tier 0,"b/small" '
    loose += 'then on timeout fall back to priority of "small"'
    answer = put(api, loose, 'when data class is "restricted" use least_busy of "b/small"')
    assert answer.status_code == 200, answer.text
    assert answer.json()["rules"] == [RULE, 'when data class is "restricted" use least_busy of "b/small"']
    assert api.get("routes/fast").json()["rules"] == answer.json()["rules"]
    assert api.put("routes/fast", {"targets": LEGS}).json()["rules"] == []
    first, last = api.get("routes/fast/versions").json()["data"]
    assert (len(first["content"]["rules"]), len(last["content"]["rules"])) == (0, 2)


def test_a_change_of_rules_is_audited_with_both(api, acme):
    put(api, RULE)
    put(api)
    event = AuditEvent.objects.of(acme).get(action="route.updated")
    assert (event.before["rules"], event.after["rules"]) == ([RULE], [])


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("use all of it", "a text in quotation marks"),
        ('use __import__("os").system("id")', "no part of a rule"),
        ('use cheapest of "c/small"', "There is no model or target “c/small”"),
        ('use cheapest of "a/smal"', "Did you mean “a/small”?"),
        ('use cheapest of "a/small" weight 0', "weight above 0"),
        ('use cheapest of "fast"', "A route cannot lead to itself."),
        ('use cheapest of "a/small" then fall back to priority of "fast"', "A route cannot lead to itself."),
        ('use cheapest of "a/small" then fall back to priority of "other"', "never in a circle"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_its_place(api, rule, told):
    put(api, name="other")
    answer = put(api, RULE, rule)
    assert refused(answer, 400, "invalid_request", "rules.1")
    assert told in error_of(answer)["message"]
    assert api.get("routes/fast").status_code == 404


def test_two_routes_never_lead_to_each_other(api):
    put(api, name="one")
    assert refused(put(api, 'use priority of "one"', name="two"), 400, "invalid_request", "rules.0")
    circle = api.put("routes/two", {"targets": [{"target": "one"}]})
    assert refused(circle, 400, "invalid_request", "targets")
    assert "never in a circle" in error_of(circle)["message"]


@pytest.mark.parametrize(
    ("rules", "param"), [("use", "rules"), ([RULE] * 51, "rules"), ([5], "rules.0"), ([""], "rules.0")]
)
def test_what_is_no_list_of_sentences_is_refused(api, rules, param):
    assert refused(api.put("routes/fast", {"targets": LEGS, "rules": rules}), 400, "invalid_request", param)


def test_a_target_of_another_organization_is_unknown(api, rival_api):
    add_provider(rival_api, "Rivals", "own")
    assert refused(put(api, 'use priority of "rivals/own"'), 400, "invalid_request", "rules.0")


def test_it_is_explained_which_rule_decides(api):
    sentences = (
        'when tag is "night" use priority of "b/small"',
        'when header "x-team" is "red" and data class is "internal" use priority of "a/small" '
        'then on timeout fall back to priority of "b/small"',
    )
    put(api, *sentences)

    def explained(**wishes):
        told = api.post("routes/explain", {"model": "fast", **wishes}).json()
        return told["rule"], [(kept["target"], kept["after"]) for kept in told["candidates"]]

    assert explained() == (None, [("a/small", None)])
    assert explained(tags=["day", "night"]) == (1, [("b/small", None)])
    late = ["deadline", "first_byte_timeout", "idle_timeout", "waited_too_long"]
    marked = explained(headers={"X-Team": "red"}, data_class="internal")
    assert marked == (2, [("a/small", None), ("b/small", late)])


def test_it_is_explained_for_a_key(api):
    made = api.post("keys", {"name": "Night jobs", "tags": ["night"]}).json()
    assert made["tags"] == ["night"]
    put(api, 'when tag is "night" use priority of "b/small"', 'when key is "Day jobs" use priority of "b/small"')
    told = api.post("routes/explain", {"model": "fast", "key": made["id"]}).json()
    assert told["rule"] == 1
    api.patch(f"keys/{made['id']}", {"tags": [], "name": "Day jobs"})
    assert api.post("routes/explain", {"model": "fast", "key": made["id"]}).json()["rule"] == 2


@pytest.mark.parametrize("tags", [["a,b"], ["x" * 61], [""], ["t"] * 21])
def test_a_tag_that_is_none_is_refused(api, tags):
    assert api.post("keys", {"name": "k", "tags": tags}).status_code == 400


def test_a_viewer_writes_no_rules(api, api_of, carol):
    put(api, RULE)
    assert put(api_of(carol)).status_code == 403
    assert api.get("routes/fast").json()["rules"] == [RULE]


def test_a_rival_sees_nothing_of_them(api, rival_api):
    put(api, RULE)
    assert rival_api.get("routes/fast").status_code == 404
    assert rival_api.post("routes/explain", {"model": "fast"}).json()["refusal"]["status"] == 404
