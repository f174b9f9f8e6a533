from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import apikeys
from accounts.keys import create_key
from accounts.models import ApiKey, AuditEvent
from tests.console.api.conftest import Api, error_of, refused

pytestmark = pytest.mark.django_db


def test_a_new_key_is_shown_once_with_its_prefix(api, acme):
    answer = api.post("keys", {"name": "Production"})
    made = answer.json()
    stored = ApiKey.objects.of(acme).get(name="Production")
    assert answer.status_code == 201
    assert (made["id"], made["prefix"]) == (stored.public_id, stored.prefix)
    assert apikeys.matches(apikeys.parse(made["key"]), bytes(stored.secret_hash))
    assert (made["scopes"], made["models"], made["created_by"]) == (["inference"], None, None)
    shown = api.get(f"keys/{made['id']}").json()
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert made["key"] not in api.get("keys").content.decode()


def test_a_key_takes_models_addresses_scopes_and_an_end(api):
    end = timezone.now() + timedelta(days=30)
    made = api.post(
        "keys",
        {
            "name": "Batch",
            "scopes": ["manage", "inference"],
            "models": ["fast", "openai/gpt-5-mini"],
            "ip_allow": ["192.0.2.0/24"],
            "expires_at": end.isoformat(),
        },
    ).json()
    assert made["scopes"] == ["inference", "manage"]
    assert made["models"] == ["fast", "openai/gpt-5-mini"]
    assert (made["ip_allow"], made["status"]) == (["192.0.2.0/24"], "active")
    assert made["expires_at"] == end.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "nul\x00"}, "name"),
        ({"name": 7}, "name"),
        ({"name": None}, "name"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["root"]}, "scopes"),
        ({"name": "x", "scopes": "manage"}, "scopes"),
        ({"name": "x", "models": []}, "models"),
        ({"name": "x", "models": ["a b"]}, "models"),
        ({"name": "x", "models": [1]}, "models.0"),
        ({"name": "x", "ip_allow": ["here"]}, "ip_allow"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "soon"}, "expires_at"),
        ({"name": "x", "expire_at": "2027-01-01T00:00:00Z"}, "expire_at"),
    ],
)
def test_a_mistake_is_refused_with_its_field(api, acme, body, param):
    before = ApiKey.objects.of(acme).count()
    assert refused(api.post("keys", body), 400, "invalid_request", param)
    assert ApiKey.objects.of(acme).count() == before


def test_all_mistakes_are_told_at_once(api):
    error = error_of(api.post("keys", {"name": "", "scopes": 1, "nonsense": 1}))
    assert error["metadata"]["fields"].keys() == {"name", "scopes", "nonsense"}


def test_a_change_touches_what_is_given(api):
    made = api.post("keys", {"name": "Old", "models": ["fast"]}).json()
    changed = api.patch(f"keys/{made['id']}", {"name": "New"}).json()
    assert (changed["name"], changed["models"]) == ("New", ["fast"])
    assert api.patch(f"keys/{made['id']}", {"models": None}).json()["models"] is None
    assert api.patch(f"keys/{made['id']}", {}).json()["name"] == "New"


def test_a_change_with_a_mistake_changes_nothing(api):
    made = api.post("keys", {"name": "Old"}).json()
    response = api.patch(f"keys/{made['id']}", {"name": "New", "models": ["a b"]})
    assert refused(response, 400, "invalid_request", "models")
    assert api.get(f"keys/{made['id']}").json()["name"] == "Old"


def test_revoking_ends_the_key_and_keeps_it_in_the_list(api, acme):
    made = api.post("keys", {"name": "Gone"}).json()
    answer = api.delete(f"keys/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    shown = api.get(f"keys/{made['id']}").json()
    assert shown["status"] == "revoked"
    assert shown["revoked_at"]
    assert api.delete(f"keys/{made['id']}").status_code == 204
    assert AuditEvent.objects.of(acme).filter(action="api_key.revoked").count() == 1
    assert refused(api.patch(f"keys/{made['id']}", {"name": "x"}), 409, "key_not_active")


def test_a_rotation_gives_a_new_key_and_lets_the_old_one_overlap(api):
    old = api.post("keys", {"name": "Production", "models": ["fast"]}).json()
    answer = api.post(f"keys/{old['id']}/rotate", {"overlap_s": 3600})
    new = answer.json()
    assert answer.status_code == 201
    assert (new["replaces"], new["name"], new["models"]) == (old["id"], "Production", ["fast"])
    assert new["key"] != old["key"]
    ends_at = ApiKey.objects.get(public_id=old["id"]).expires_at
    assert timedelta(minutes=59) < ends_at - timezone.now() <= timedelta(hours=1)


def test_a_rotation_without_overlap_ends_the_old_key_now(api):
    old = api.post("keys", {"name": "Production", "scopes": ["manage"]}).json()
    new = api.post(f"keys/{old['id']}/rotate", {}).json()
    assert refused(Api(Authorization=f"Bearer {old['key']}").get("keys"), 401, "key_expired")
    assert Api(Authorization=f"Bearer {new['key']}").get("keys").status_code == 200


@pytest.mark.parametrize("overlap_s", [-1, 31 * 24 * 3600, "60", 1.5, True, None])
def test_an_overlap_that_is_none_is_refused(api, overlap_s):
    old = api.post("keys", {"name": "Production"}).json()
    response = api.post(f"keys/{old['id']}/rotate", {"overlap_s": overlap_s})
    assert refused(response, 400, "invalid_request", "overlap_s")


def test_a_key_is_rotated_once(api):
    old = api.post("keys", {"name": "Production"}).json()
    api.post(f"keys/{old['id']}/rotate", {"overlap_s": 60})
    assert refused(api.post(f"keys/{old['id']}/rotate", {"overlap_s": 60}), 409, "key_not_active")


def test_keys_of_the_playground_are_not_shown(api, acme, as_alice):
    soon = timezone.now() + timedelta(hours=1)
    hidden = create_key(
        acme, as_alice, name="Play", scopes=["inference"], created_by=None, expires_at=soon, is_ephemeral=True
    ).key
    assert api.get(f"keys/{hidden.public_id}").status_code == 404
    assert "Play" not in api.get("keys").content.decode()
