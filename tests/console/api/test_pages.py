"""Lists, a page at a time."""

from __future__ import annotations

import pytest

from accounts.keys import create_key
from accounts.models import ApiKey
from tests.console.api.conftest import Api, add_provider, refused

pytestmark = pytest.mark.django_db

LISTS = ["keys", "providers", "models", "targets", "routes", "requests", "audit-events", "members", "invitations"]


def walk(api: Api, path: str, limit: int, **query: object) -> list[dict]:
    found, cursor = [], {}
    while True:
        page = api.get(path, limit=limit, **query, **cursor).json()
        assert len(page["data"]) <= limit
        assert page["has_more"] is (page["next_cursor"] is not None)
        found += page["data"]
        if not page["has_more"]:
            return found
        assert len(page["data"]) == limit
        cursor = {"cursor": page["next_cursor"]}


@pytest.fixture
def seven_keys(acme, as_alice) -> list[str]:
    names = [f"Key {number}" for number in range(7)]
    for name in names:
        create_key(acme, as_alice, name=name, scopes=["inference"], created_by=None)
    return names


@pytest.mark.parametrize("limit", [1, 3, 4, 8, 100])
def test_pages_together_are_the_whole_list_newest_first(api, seven_keys, limit):
    names = [key["name"] for key in walk(api, "keys", limit)]
    assert names == [*reversed(seven_keys), "Automation"]


def test_rows_that_come_meanwhile_shift_nothing(api, seven_keys, acme, as_alice):
    first = api.get("keys", limit=3).json()
    create_key(acme, as_alice, name="Late", scopes=["inference"], created_by=None)
    rest = api.get("keys", limit=100, cursor=first["next_cursor"]).json()["data"]
    names = [key["name"] for key in first["data"] + rest]
    assert sorted(names) == sorted(["Automation", *seven_keys])


def test_rows_of_the_same_moment_are_neither_lost_nor_repeated(api, seven_keys, acme):
    ApiKey.objects.of(acme).update(created_at=acme.created_at)
    names = [key["name"] for key in walk(api, "keys", 2)]
    assert sorted(names) == sorted(["Automation", *seven_keys])


def test_routes_go_by_name(api):
    add_provider(api, "X", "y")
    for name in ("b/2", "a", "b/1", "c"):
        api.put(f"routes/{name}", {"targets": [{"target": "x/y"}]})
    assert [route["name"] for route in walk(api, "routes", 3)] == ["a", "b/1", "b/2", "c"]


def test_models_and_targets_go_by_name(api):
    models = [{"id": name} for name in ("c", "a", "b")]
    api.post("providers", {"name": "Up", "base_url": "https://llm.example.com/v1", "models": models})
    assert [target["name"] for target in walk(api, "targets", 2)] == ["up/a", "up/b", "up/c"]
    assert [model["id"] for model in walk(api, "models", 1)] == ["a", "b", "c"]


def test_the_log_goes_page_by_page(api, log):
    ids = [log().request_id for _number in range(5)]
    assert [request["id"] for request in walk(api, "requests", 2)] == ids[::-1]


def test_the_trail_goes_page_by_page(api, seven_keys):
    sequence = [event["sequence"] for event in walk(api, "audit-events", 3)]
    assert sequence == list(range(len(sequence), 0, -1))
    assert len(sequence) == 9


@pytest.mark.parametrize("path", LISTS)
def test_a_limit_is_from_1_to_100(api, path):
    for limit in (0, 101, -1, "many"):
        assert refused(api.get(path, limit=limit), 400, "invalid_request", "limit")


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("cursor", ["x", "a:b", "W10", "\x00", "é", "x" * 2000])
def test_a_cursor_that_was_not_given_out_is_refused(api, path, cursor):
    assert refused(api.get(path, cursor=cursor), 400, "invalid_request", "cursor")


def test_a_cursor_of_another_list_is_refused(api, seven_keys):
    cursor = api.get("keys", limit=1).json()["next_cursor"]
    assert refused(api.get("audit-events", cursor=cursor), 400, "invalid_request", "cursor")


def test_an_unknown_parameter_is_refused_rather_than_ignored(api):
    assert refused(api.get("requests", modle="fast"), 400, "invalid_request", "modle")
