"""What each role may call, for every address of the URLconf."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts import roles
from accounts.roles import Permission
from console.api.frame import NothingHere
from tests.console.api.conftest import Api, error_of
from tests.console.api.routes import ADDRESSES, CALLS, Address, name_of

pytestmark = pytest.mark.django_db

MISSING = {"name": "no-such-route", "key_id": "nokey", "provider_id": "conn_0", "request_id": "req_0"}


@pytest.fixture
def api_as(acme, make_user, join, api_of) -> Callable[[str], Api]:
    def api_as(role: str) -> Api:
        user = make_user(f"{role}@acme.test")
        join(acme, user, role)
        return api_of(user)

    return api_as


@pytest.mark.parametrize("call", CALLS, ids=name_of)
def test_a_role_without_the_permission_is_refused_before_anything_is_looked_up(call, api_as):
    address, method = call
    path = address.path(**dict.fromkeys(address.parameters, "missing") | MISSING)
    for role in roles.ROLES:
        response = api_as(role).send(method, path, {})
        may = any(roles.allows(role, permission) for permission in address.needs[method])
        refused = response.status_code == 403 and "permission" in error_of(response).get("metadata", {})
        assert refused is not may, f"{role}: {response.status_code} {response.content[:200]!r}"


ASKS = {
    ("routes/explain", "POST"),
    ("usage/exports", "POST"),
    ("usage/exports/<slug:export_id>", "DELETE"),
    ("usage/exports/<slug:export_id>/retry", "POST"),
}
"""Questions whose answer depends on a body, and copies of what may be read; they change nothing."""


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
def test_who_may_only_read_writes_nothing(address: Address):
    """The one exception: everybody may revoke one's own key, which the service decides."""
    reading = {Permission.VIEW, Permission.VIEW_USAGE, Permission.VIEW_AUDIT, Permission.VIEW_BILLING,
               Permission.VIEW_EARNINGS}  # fmt: skip
    for method, permissions in address.needs.items():
        if (
            method != "GET"
            and (str(address), method) not in ASKS
            and (str(address), method) != ("keys/<slug:key_id>", "DELETE")
        ):
            assert not reading & set(permissions), method


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
def test_every_method_that_a_view_has_says_what_it_needs(address: Address):
    have = {name.upper() for name in ("get", "post", "put", "patch", "delete") if hasattr(address.view, name)}
    assert have == address.needs.keys()


def test_every_post_can_be_repeated_safely():
    posts = [address for address, method in CALLS if method == "POST"]
    assert posts
    assert all(getattr(address.view.post, "is_idempotent", False) for address in posts)  # type: ignore[attr-defined]


def test_a_developer_manages_own_keys_and_reads(api_of, bob, acme):
    api = api_of(bob)
    made = api.post("keys", {"name": "Mine"})
    assert (made.status_code, made.json()["created_by"]) == (201, "bob@acme.test")
    assert api.patch(f"keys/{made.json()['id']}", {"name": "Still mine"}).status_code == 200
    assert api.post("keys", {"name": "More", "scopes": ["manage"]}).status_code == 403
    assert api.put("routes/fast", {"targets": [{"target": "a/b"}]}).status_code == 403
    assert api.get("usage").status_code == 200
    assert api.get("audit-events").status_code == 403
    assert api.delete(f"keys/{made.json()['id']}").status_code == 204


def test_a_viewer_reads_and_changes_nothing(api_of, carol, acme, api):
    made = api.post("keys", {"name": "Application"}).json()
    viewer = api_of(carol)
    assert viewer.get(f"keys/{made['id']}").json()["name"] == "Application"
    assert viewer.delete(f"keys/{made['id']}").status_code == 403
    assert viewer.post("keys", {"name": "Mine"}).status_code == 403
    assert api.get(f"keys/{made['id']}").json()["status"] == "active"


def test_a_managing_key_is_an_admin_but_no_owner(api, acme, alice, api_of):
    assert api.patch("organization", {"name": "Acme 2"}).status_code == 200
    owner_id = api.get("members").json()["data"][0]["id"]
    assert api.patch(f"members/{owner_id}", {"role": "viewer"}).status_code == 403
    assert api.post("invitations", {"email": "x@example.com", "role": "owner"}).status_code == 403


def test_an_address_that_is_none_is_the_same_for_all_roles(api_as):
    assert NothingHere not in {address.view for address in ADDRESSES}
    for role in roles.ROLES:
        assert api_as(role).get("nothing").status_code == 404
