"""`/limits` and the limits of members, keys, routes, models and machines."""

from __future__ import annotations

import pytest

from accounts import limits, members
from accounts.errors import InvalidField
from accounts.models import AuditEvent, Limit
from routing.models import Route
from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db

NONE = dict.fromkeys(("rpm", "rpd", "tpm", "tpd", "concurrency")) | {"budgets": [], "when_reached": "block"}


def test_the_organisations_limits_are_what_the_body_says(api):
    assert api.get("limits").json() == {"object": "limits"} | NONE
    told = {"object": "limits"} | NONE | {"rpm": 60, "tpd": 1_000_000}
    assert api.put("limits", {"rpm": 60, "tpd": 1_000_000}).json() == told
    assert api.get("limits").json() == told
    assert api.put("limits", {"concurrency": 5}).json() == {"object": "limits"} | NONE | {"concurrency": 5}
    assert api.put("limits", {}).json() == {"object": "limits"} | NONE
    assert not Limit.objects.exists()


def test_every_change_is_in_the_audit_log_and_makes_a_new_version(api, acme):
    api.put("limits", {"rpm": 60, "tpm": 10})
    acme.refresh_from_db()
    version = acme.version
    api.put("limits", {"rpm": 30, "tpm": 10})
    event = AuditEvent.objects.of(acme).filter(action="limits.updated").latest("sequence")
    assert (event.object_type, event.before, event.after) == ("organisation", {"rpm": 60}, {"rpm": 30})
    acme.refresh_from_db()
    assert acme.version > version


@pytest.mark.parametrize("value", [0, -1, 1.5, "60", True, 10**13])
def test_what_is_no_limit_is_refused(api, value):
    assert refused(api.put("limits", {"rpm": value}), 400, "invalid_request", "rpm")


def test_of_a_member_a_route_and_a_model(api, acme, alice):
    Route.objects.create(org=acme, public_id="route_1", name="a/route")
    member = members.members_of(acme).get(user=alice).public_id
    for path in (f"members/{member}/limits", "limits/routes/a/route"):
        assert api.put(path, {"rpm": 7}).json()["rpm"] == 7
        assert api.get(path).json()["rpm"] == 7
    assert api.put("limits/models/nobody-serves-it", {"rpm": 7}).status_code == 404
    assert api.put("limits/routes/none", {"rpm": 7}).status_code == 404


def test_a_key_is_made_with_limits_and_keeps_them_when_it_is_rotated(api):
    made = api.post("keys", {"name": "Limited", "limits": {"rpm": 5}}).json()
    assert made["limits"] == NONE | {"rpm": 5}
    new = api.post(f"keys/{made['id']}/rotate", {"overlap_s": 60}).json()
    assert new["limits"] == NONE | {"rpm": 5}
    assert api.patch(f"keys/{new['id']}", {"limits": {"tpm": 9}}).json()["limits"] == NONE | {"tpm": 9}
    assert {key["id"]: key["limits"] for key in api.get("keys").json()["data"] if key["id"] == made["id"]} == {
        made["id"]: NONE | {"tpm": 9}
    }


def test_a_key_with_wrong_limits_is_not_made(api):
    assert api.post("keys", {"name": "Limited", "limits": {"rpm": 0}}).status_code == 400
    assert "Limited" not in [key["name"] for key in api.get("keys").json()["data"]]


def test_who_may_not_set_limits_makes_no_limited_key_and_frees_none(api_of, bob, acme, as_alice):
    developer = api_of(bob)
    assert developer.post("keys", {"name": "Mine", "limits": {"rpm": 5}}).status_code == 403
    mine = developer.post("keys", {"name": "Mine"}).json()
    assert developer.patch(f"keys/{mine['id']}", {"limits": {}}).status_code == 403
    assert developer.put("limits", {"rpm": 5}).status_code == 403
    assert limits.find_limits(acme, "organisation") == NONE


def test_budgets_are_set_shown_and_taken_away(api, acme):
    wished = {
        "budgets": [{"amount_usd": "12.50", "window": "monthly"}, {"tokens": 1000, "window": "daily"}],
        "when_reached": "own_nodes",
    }
    told = {"budgets": [{"tokens": 1000, "window": "daily"}, {"amount_usd": "12.5", "window": "monthly"}]}
    assert api.put("limits", wished).json() == {"object": "limits"} | NONE | told | {"when_reached": "own_nodes"}
    event = AuditEvent.objects.of(acme).filter(action="limits.updated").latest("sequence")
    assert event.before == {"budgets": [], "when_reached": "block"}
    assert event.after == told | {"when_reached": "own_nodes"}
    assert (
        api.put("limits", api.get("limits").json() | {"object": None}).status_code == 400
    )  # it is no field of a body
    assert api.put("limits", {}).json() == {"object": "limits"} | NONE
    assert not Limit.objects.exists()


@pytest.mark.parametrize(
    "budget",
    [
        {"window": "monthly"},
        {"amount_usd": "1"},
        {"amount_usd": "1", "tokens": 1, "window": "monthly"},
        {"amount_usd": "0", "window": "monthly"},
        {"amount_usd": "-1", "window": "monthly"},
        {"amount_usd": "1e30", "window": "monthly"},
        {"amount_usd": "0.0000000001", "window": "monthly"},
        {"amount_usd": "NaN", "window": "monthly"},
        {"tokens": 0, "window": "daily"},
        {"tokens": 1.5, "window": "daily"},
        {"tokens": 1, "window": "hourly"},
    ],
)
def test_what_is_no_budget_is_refused(api, budget):
    assert api.put("limits", {"budgets": [budget]}).status_code == 400


def test_one_budget_of_each_kind_for_a_window(api):
    twice = [{"amount_usd": "1", "window": "daily"}, {"amount_usd": "2", "window": "daily"}]
    assert refused(api.put("limits", {"budgets": twice}), 400, "invalid_request", "budgets")


def test_a_key_is_made_with_a_budget(api):
    budgets = [{"amount_usd": "5", "window": "monthly"}]
    made = api.post("keys", {"name": "Limited", "limits": {"budgets": budgets}}).json()
    assert made["limits"] == NONE | {"budgets": budgets}
    rows = api.get("limits/budgets").json()["data"]
    assert [(row["scope"], row["subject"], row["amount"], row["used"]) for row in rows] == [
        ("key", "Limited", "5", "0")
    ]


def test_how_much_of_each_rate_is_in_use_is_told(api):
    made = api.post("keys", {"name": "Limited", "limits": {"rpm": 5, "concurrency": 2}}).json()
    assert made["limits"]["rpm"] == 5
    api.put("limits", {"rpm": 60})
    rows = api.get("limits/rates").json()["data"]
    assert [
        (row["scope"], row["subject"], row["kind"], row["limit"], row["used"], row["percent"]) for row in rows
    ] == [
        ("key", "Limited", "rpm", 5, 0, 0),
        ("key", "Limited", "concurrency", 2, 0, 0),
        ("organisation", None, "rpm", 60, 0, 0),
    ]


def test_a_machine_has_no_budgets(acme, as_alice):
    with pytest.raises(InvalidField):
        limits.set_limits(acme, as_alice, "node", "node_1", wishes={"budgets": [{"tokens": 1, "window": "daily"}]})
