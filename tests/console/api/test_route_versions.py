from __future__ import annotations

import pytest

from accounts.errors import InvalidField
from accounts.models import AuditEvent
from routing.models import RouteDraft
from routing.services import put_route
from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db

SMALL, LARGE = {"targets": [{"target": "up/small"}]}, {"targets": [{"target": "up/large"}], "strategy": "cheapest"}


@pytest.fixture(autouse=True)
def provider(api):
    models = [{"id": name, "input_price": "1", "output_price": "2"} for name in ("small", "large")]
    body = {"name": "Up", "base_url": "https://llm.example.com/v1", "api_keys": ["k"], "models": models}
    return api.post("providers", body).json()


def numbers(api) -> list[int]:
    return [version["number"] for version in api.get("routes/team/fast/versions").json()["data"]]


def test_every_change_is_a_version_and_the_same_again_is_none(api):
    api.put("routes/team/fast", SMALL)
    api.put("routes/team/fast", LARGE)
    api.put("routes/team/fast", LARGE)
    newest, oldest = api.get("routes/team/fast/versions").json()["data"]
    assert (newest["number"], newest["content"]["strategy"], newest["published_by"]) == (2, "cheapest", "Automation")
    assert (oldest["number"], oldest["content"]["targets"][0]["target"]) == (1, "up/small")


def test_rolling_back_publishes_what_was_as_a_new_version(api):
    first = api.put("routes/team/fast", SMALL).json()
    api.put("routes/team/fast", LARGE)
    back = api.post("routes/team/fast/rollback", {"version": 1})
    assert (back.status_code, back.json()["targets"]) == (200, first["targets"])
    newest = api.get("routes/team/fast/versions").json()["data"][0]
    assert (newest["number"], newest["restored"]) == (3, 1)


def test_to_a_version_that_never_was_or_whose_targets_are_gone_there_is_no_way(api, provider):
    api.put("routes/team/fast", SMALL)
    assert refused(api.post("routes/team/fast/rollback", {"version": 9}), 400, "invalid_request", "version")
    other = {"name": "Other", "base_url": "https://llm.example.com/v1", "api_keys": ["k"], "models": [{"id": "x"}]}
    api.post("providers", other)
    api.put("routes/team/fast", {"targets": [{"target": "other/x"}]})
    api.delete(f"providers/{provider['id']}")
    assert refused(api.post("routes/team/fast/rollback", {"version": 1}), 400, "invalid_request", "targets")
    assert numbers(api) == [2, 1]


def test_a_draft_changes_nothing_until_it_is_published(api, acme):
    api.put("routes/team/fast", SMALL)
    live = api.get("routes/team/fast").json()
    draft = api.put("routes/team/fast/draft", LARGE).json()
    assert (draft["content"]["strategy"], draft["based_on"]) == ("cheapest", 1)
    assert api.get("routes/team/fast").json() == live
    assert api.post("routes/team/fast/publish", {}).json()["strategy"] == "cheapest"
    assert numbers(api) == [2, 1]
    assert api.get("routes/team/fast/draft").status_code == 404
    told = AuditEvent.objects.of(acme).filter(object_type="route").order_by("sequence")
    assert [*told.values_list("action", flat=True)] == ["route.created", "route.drafted", "route.updated"]


def test_a_draft_is_tested_before_it_is_live(api):
    api.put("routes/new/draft", LARGE)
    told = api.post("routes/explain", {"model": "new", "draft": True}).json()
    assert [kept["target"] for kept in told["candidates"]] == ["up/large"]
    assert api.post("routes/explain", {"model": "new"}).json()["refusal"]["status"] == 404


def test_a_draft_is_checked_when_it_is_saved(api):
    wrong = api.put("routes/new/draft", {"targets": [{"target": "gone/model"}]})
    assert refused(wrong, 400, "invalid_request", "targets")
    assert api.get("routes/new/draft").status_code == 404


def test_a_draft_is_checked_again_when_it_is_published(api, provider, acme):
    api.put("routes/new/draft", SMALL)
    api.delete(f"providers/{provider['id']}")
    assert refused(api.post("routes/new/publish", {}), 400, "invalid_request", "targets")
    assert RouteDraft.objects.of(acme).filter(name="new").exists()


def test_a_draft_is_discarded(api):
    api.put("routes/new/draft", SMALL)
    assert api.delete("routes/new/draft").status_code == 204
    assert api.get("routes/new/draft").status_code == 404


@pytest.mark.parametrize("name", ["a/versions", "a/rollback", "a/draft", "a/publish", "explain", "simulate"])
def test_names_that_mean_something_else_are_none(api, acme, as_alice, name):
    with pytest.raises(InvalidField) as refusal:
        put_route(acme, as_alice, name, SMALL)
    assert refusal.value.param == "name"


def test_a_viewer_reads_and_neither_drafts_nor_publishes_nor_rolls_back(api, api_of, carol):
    api.put("routes/team/fast", SMALL)
    api.put("routes/team/fast/draft", LARGE)
    viewer = api_of(carol)
    assert viewer.get("routes/team/fast/versions").status_code == 200
    assert viewer.get("routes/team/fast/draft").status_code == 200
    for method, path, body in (
        ("PUT", "draft", SMALL),
        ("DELETE", "draft", None),
        ("POST", "publish", {}),
        ("POST", "rollback", {"version": 1}),
    ):
        assert viewer.send(method, f"routes/team/fast/{path}", body).status_code == 403


def test_what_becomes_of_streams_is_kept_with_the_version_and_told_before_it_is_live(api):
    streams = {"continue_streams": True, "hedge": {"after_ms": 250, "most_extra_usd": "0.002"}}
    hedge = {"after_ms": 250, "most_percent": 5, "most_extra_usd": "0.002"}
    made = api.put("routes/team/fast", SMALL | streams).json()
    assert (made["continue_streams"], made["hedge"]) == (True, hedge)
    back = api.put("routes/team/fast", SMALL).json()
    assert (back["continue_streams"], back["hedge"]) == (False, None)
    newest, oldest = (one["content"] for one in api.get("routes/team/fast/versions").json()["data"])
    assert (newest["hedge"], oldest["hedge"], oldest["continue_streams"]) == (None, hedge, True)
    assert api.post("routes/team/fast/rollback", {"version": 1}).json()["hedge"] == hedge
    told = api.post("routes/explain", {"model": "team/fast"}).json()
    assert (told["continue_streams"], told["hedge"]) == (True, hedge)
    assert [kept["can_go_on"] for kept in told["candidates"]] == [True]


@pytest.mark.parametrize("hedge", [{"after_ms": 0}, {"most_percent": 51}, {"most_extra_usd": "-1"}, {"soon": True}])
def test_a_hedge_without_sense_is_refused(api, hedge):
    answer = api.put("routes/team/fast", SMALL | {"hedge": hedge})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("hedge")
