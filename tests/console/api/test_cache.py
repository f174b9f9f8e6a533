from __future__ import annotations

import pytest

from accounts.models import AuditEvent
from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db


def test_a_policy_is_put_replaced_listed_and_deleted(api, acme):
    put = api.put("cache/policies", {"scope": "model", "subject": "m", "ttl_s": 60}).json()
    again = api.put("cache/policies", {"scope": "model", "subject": "m", "ttl_s": 0, "per_key": True}).json()
    assert (put["ttl_s"], again["ttl_s"], again["per_key"], put["id"]) == (60, 0, True, again["id"])
    assert api.get("cache/policies").json()["data"] == [again]
    assert api.get(f"cache/policies/{put['id']}").json() == again
    assert api.delete(f"cache/policies/{put['id']}").status_code == 204
    assert api.get("cache/policies").json()["data"] == []
    actions = AuditEvent.objects.of(acme).filter(object_type="cache_policy").order_by("sequence")
    assert [event.action.partition(".")[2] for event in actions] == ["created", "updated", "deleted"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"scope": "world", "ttl_s": 1}, "scope"),
        ({"scope": "organization", "ttl_s": -1}, "ttl_s"),
        ({"scope": "organization", "ttl_s": 2_592_001}, "ttl_s"),
        ({"scope": "organization", "ttl_s": "60"}, "ttl_s"),
        ({"scope": "organization", "subject": "m", "ttl_s": 1}, "subject"),
        ({"scope": "model", "ttl_s": 1}, "subject"),
        ({"scope": "route", "subject": "nowhere", "ttl_s": 1}, "subject"),
        ({"scope": "key", "subject": "nosuchkey000", "ttl_s": 1}, "subject"),
    ],
)
def test_a_mistake_is_refused_with_its_field(api, body, param):
    assert refused(api.put("cache/policies", body), 400, "invalid_request", param)


def test_a_key_of_another_organisation_is_no_key(api, rival_api):
    theirs = rival_api.post("keys", {"name": "Theirs"}).json()["id"]
    body = {"scope": "key", "subject": theirs, "ttl_s": 1}
    assert refused(api.put("cache/policies", body), 400, "invalid_request", "subject")


def test_purges_are_counted_and_audited(api, acme):
    assert api.post("cache/purge").json()["count"] == 1
    assert [api.post("cache/purge", {"name": "m"}).json()["count"] for _ in range(2)] == [1, 2]
    assert AuditEvent.objects.of(acme).filter(action="cache.purged").count() == 3


def test_savings_are_of_the_requests_that_a_policy_covers(api, log):
    log(model="m", route="", cache="MISS", cost_nanos=5_000)
    log(model="m", route="", cache="HIT", saved_nanos=5_000)
    log(model="m", route="r", cache="HIT", saved_nanos=1_000)
    log(model="m")
    told = api.get("cache/savings").json()
    assert (told["total"]["requests"], told["total"]["hits"], told["total"]["saved_usd"]) == (3, 2, "0.000006")
    assert [(row["name"], row["requests"], row["hits"]) for row in told["data"]] == [("m", 2, 1), ("r", 1, 1)]
