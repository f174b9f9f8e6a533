from __future__ import annotations

import pytest

from accounts.models import AuditEvent
from providers.models import Connection
from routing.models import CachePolicy
from routing.services import put_route
from routing.sources import load_cache_rules
from tests.console.api.conftest import refused
from tests.console.pages.conftest import connect

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


def rotated(api, key_id: str) -> str:
    return api.post(f"keys/{key_id}/rotate", {"overlap_s": 60}).json()["id"]


def seconds(acme, *key_ids: str) -> list[int | None]:
    found = (load_cache_rules(acme.pk).find("", "m", key_id) for key_id in key_ids)
    return [rule and rule.ttl_s for rule in found]


def test_a_policy_of_a_key_stays_with_the_keys_that_replace_it(api, acme):
    first, other = (api.post("keys", {"name": name}).json()["id"] for name in ("First", "Other"))
    api.put("cache/policies", {"scope": "organization", "ttl_s": 60})
    put = api.put("cache/policies", {"scope": "key", "subject": first, "ttl_s": 0}).json()
    second = rotated(api, first)
    third = rotated(api, second)
    assert seconds(acme, first, second, third, other) == [None, None, None, 60]
    assert api.get(f"cache/policies/{put['id']}").json()["subject"] == third
    assert third in [row["subject"] for row in api.get("cache/policies").json()["data"]]
    again = api.put("cache/policies", {"scope": "key", "subject": second, "ttl_s": 30}).json()
    assert (again["id"], again["subject"]) == (put["id"], third)
    assert seconds(acme, first, second, third) == [30, 30, 30]


def test_of_several_policies_of_one_line_the_newest_keys_counts_and_stays(api, acme):
    """As they were made when each was of one key alone."""
    first = api.post("keys", {"name": "First"}).json()["id"]
    second = rotated(api, first)
    for public_id, key_id, ttl_s in (("cpol_b", second, 20), ("cpol_a", first, 10)):
        CachePolicy.objects.create(org=acme, public_id=public_id, scope="key", subject=key_id, ttl_s=ttl_s)
    assert seconds(acme, first, second) == [20, 20]
    api.put("cache/policies", {"scope": "key", "subject": first, "ttl_s": 30})
    assert CachePolicy.objects.of(acme).get().public_id == "cpol_b"
    assert AuditEvent.objects.of(acme).filter(action="cache_policy.deleted", object_id="cpol_a").exists()


def by(model: str) -> dict[str, object]:
    return {"scope": "route", "subject": "faq", "ttl_s": 60, "semantic": {"model": model}}


@pytest.fixture
def faq(acme, as_alice) -> None:
    connect(acme, as_alice, "Aurora", [("chat-one", "chat"), ("embed-one", "embedding")])
    put_route(acme, as_alice, "faq", {"targets": [{"target": "chat-one"}]})
    put_route(acme, as_alice, "vectors", {"targets": [{"target": "embed-one"}]})


@pytest.mark.parametrize("model", ["no-such", "chat-one", "faq", "aurora/chat-one"])
def test_questions_are_compared_only_by_what_embeds_and_is_served(api, faq, model):
    told = api.put("cache/policies", by(model))
    assert refused(told, 400, "invalid_request", "semantic")
    assert "There are: embed-one, vectors, aurora/embed-one." in told.json()["error"]["message"]


@pytest.mark.parametrize("model", ["embed-one", "aurora/embed-one", "vectors", "embed-one:private"])
def test_a_model_a_pinned_one_and_a_route_to_one_may_compare(api, faq, model):
    assert api.put("cache/policies", by(model)).json()["semantic"]["model"] == model


def test_without_any_embedding_model_the_refusal_says_so(api, acme, as_alice):
    connect(acme, as_alice, "Aurora", [("chat-one", "chat")])
    put_route(acme, as_alice, "faq", {"targets": [{"target": "chat-one"}]})
    assert "No embedding model is served here" in api.put("cache/policies", by("embed")).json()["error"]["message"]


def test_a_policy_whose_model_went_away_can_still_be_changed(api, faq):
    api.put("cache/policies", by("embed-one"))
    Connection.objects.update(enabled=False)
    assert api.put("cache/policies", by("embed-one") | {"ttl_s": 30}).json()["ttl_s"] == 30


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
