"""Who gets in: keys with the scope `manage`, and sessions; and how everybody else is told."""

from __future__ import annotations

import time

import pytest
from django.test import Client
from django.utils import timezone

from accounts import keys, organizations
from accounts.models import ApiKey
from tests.conftest import PASSWORD
from tests.console.api.conftest import Api, error_of, refused
from tests.console.api.routes import ADDRESSES, Address

pytestmark = pytest.mark.django_db


@pytest.fixture
def plain(acme, as_alice) -> str:
    return keys.create_key(acme, as_alice, name="Manager", scopes=["manage"], created_by=None).plain


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "Authorization"])
def test_a_key_is_taken_in_three_headers(plain, header):
    value = f"Bearer {plain}" if header == "Authorization" else plain
    assert Api(**{header: value}).get("organization").json()["name"] == "Acme"


def test_two_different_credentials_are_one_too_many(plain):
    assert refused(
        Api(**{"Authorization": f"Bearer {plain}", "x-api-key": "other"}).get("keys"),
        400,
        "invalid_request",
        "authorization",
    )


def test_nobody_is_told_how_to_come_in(db):
    response = Api().get("keys")
    assert refused(response, 401, "missing_api_key")
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
def test_no_address_answers_without_a_key_or_with_a_wrong_one(address: Address, db):
    path = address.path(**dict.fromkeys(address.parameters, "missing"))
    for method in address.needs:
        assert refused(Api().send(method, path, {}), 401, "missing_api_key")
        assert refused(Api(Authorization="Bearer sk-sai-wrong").send(method, path, {}), 401, "invalid_api_key")


def test_a_key_for_inference_does_not_manage(acme, as_alice):
    made = keys.create_key(acme, as_alice, name="App", scopes=["inference"], created_by=None)
    response = Api(Authorization=f"Bearer {made.plain}").get("keys")
    assert refused(response, 403, "permission_refused")
    assert error_of(response)["metadata"] == {"scope": "manage"}


def test_a_mistyped_key_is_refused(plain):
    assert refused(Api(Authorization=f"Bearer {plain[:-1]}!").get("keys"), 401, "invalid_api_key")


def test_a_revoked_key_is_refused_at_once(acme, as_alice):
    made = keys.create_key(acme, as_alice, name="Manager", scopes=["manage"], created_by=None)
    api = Api(Authorization=f"Bearer {made.plain}")
    assert api.get("keys").status_code == 200
    keys.revoke_key(made.key, as_alice)
    assert refused(api.get("keys"), 401, "key_revoked")


def test_a_key_bound_to_addresses_works_from_there_only(acme, as_alice):
    made = keys.create_key(
        acme, as_alice, name="Manager", scopes=["manage"], created_by=None, ip_allow=["192.0.2.0/24"]
    )
    assert refused(Api(Authorization=f"Bearer {made.plain}").get("keys"), 403, "ip_not_allowed")
    client = Client(REMOTE_ADDR="192.0.2.7")
    assert Api(client, Authorization=f"Bearer {made.plain}").get("keys").status_code == 200


def test_where_no_address_is_known_only_keys_bound_to_one_are_refused(acme, as_alice, plain):
    """As behind a proxy that comes by a Unix socket."""
    nowhere = Client(REMOTE_ADDR="")
    assert Api(nowhere, Authorization=f"Bearer {plain}").get("keys").status_code == 200
    bound = keys.create_key(acme, as_alice, name="M", scopes=["manage"], created_by=None, ip_allow=["::/0"])
    assert refused(Api(nowhere, Authorization=f"Bearer {bound.plain}").get("keys"), 403, "ip_not_allowed")


def test_the_keys_of_a_deleted_organisation_are_unknown(acme, as_alice, plain):
    organizations.delete_organization(acme, as_alice, acme.name)
    assert refused(Api(Authorization=f"Bearer {plain}").get("keys"), 401, "invalid_api_key")


def test_the_use_of_a_key_is_noted(plain):
    before = timezone.now()
    Api(Authorization=f"Bearer {plain}").get("keys")
    assert ApiKey.objects.get(name="Manager").last_used_at >= before


def test_a_session_reads_without_and_writes_with_its_csrf_token(alice, acme):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    api = Api(client)
    assert api.get("organization").status_code == 200
    assert refused(api.patch("organization", {"name": "Acme 2"}), 403, "csrf_failed")
    client.get("/keys/new")  # any page with a form sets the cookie
    token = client.cookies["csrftoken"].value
    assert api.send("PATCH", "organization", {"name": "Acme 2"}, X_CSRFToken=token).status_code == 200


def test_a_key_needs_no_csrf_token(plain):
    client = Client(enforce_csrf_checks=True)
    api = Api(client, Authorization=f"Bearer {plain}")
    assert api.patch("organization", {"name": "Acme 2"}).status_code == 200


def test_who_belongs_to_no_organisation_is_told(make_user, api_of):
    assert refused(api_of(make_user("new@nowhere.test")).get("keys"), 403, "no_organization")


def test_a_session_acts_in_the_organisation_chosen_last(alice, acme, client_of):
    second = organizations.create_organization(alice, "Second")
    client = client_of(alice)
    client.post("/organizations/switch", {"organization": second.public_id})
    assert Api(client).get("organization").json()["id"] == second.public_id


@pytest.fixture
def signed_in_long_ago(alice, acme) -> Client:
    alice.set_password(PASSWORD)
    alice.save()
    client = Client()
    client.force_login(alice)
    session = client.session
    session["signed_in_at_s"] = time.time() - 3600
    session.save()
    return client


def test_secrets_and_roles_want_a_recent_sign_in(signed_in_long_ago):
    api = Api(signed_in_long_ago)
    assert refused(api.post("keys", {"name": "x"}), 403, "reauthentication_required")
    assert refused(api.patch("members/mem_1", {"role": "viewer"}), 403, "reauthentication_required")
    assert api.patch("organization", {"name": "Acme 2"}).status_code == 200
    session = signed_in_long_ago.session
    session["signed_in_at_s"] = time.time()
    session.save()
    assert api.post("keys", {"name": "x"}).status_code == 201


def test_the_trail_names_the_key_that_wrote(api, acme):
    api.patch("organization", {"name": "Acme 2"})
    event = api.get("audit-events", action="organization.updated").json()["data"][0]
    assert (event["actor_type"], event["actor_label"]) == ("key", "Automation")


def test_every_answer_is_marked_and_kept_out_of_caches(api):
    for response in (api.get("keys"), api.get("nothing"), api.get("keys", limit=0), Api().get("keys")):
        assert response["x-request-id"].startswith("req_")
        assert response["Cache-Control"] == "no-store"


def test_what_is_not_there_is_refused_in_the_same_shape(api):
    assert refused(api.get("nothing/at/all"), 404, "not_found")
    assert refused(api.get("keys/"), 404, "not_found")
    assert refused(Api().get("nothing"), 401, "missing_api_key")


def test_an_unknown_method_is_refused_and_the_known_ones_listed(api):
    response = api.put("keys", {})
    assert refused(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD, POST"
    assert refused(api.send("OPTIONS", "keys"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'{"name": "a", "name": "b"}', 400, "invalid_json"),
        (b'{"name": "\xff"}', 400, "invalid_json"),
        (b'{"name": "' + b"x" * (3 << 20) + b'"}', 413, "payload_too_large"),
    ],
)
def test_a_body_that_is_not_strict_json_is_refused(api, body, status, code):
    assert refused(api.post("keys", body), status, code)


def test_other_types_and_encodings_are_refused(api):
    form = api.client.post("/api/v1/keys", {"name": "x"}, headers=api.headers)
    assert refused(form, 415, "unsupported_media_type")
    assert refused(api.post("keys", {"name": "x"}, Content_Encoding="gzip"), 415, "unsupported_media_type")


def test_an_actor_without_rights_in_the_service_is_refused_there_as_well(acme, bob, api_of, as_alice):
    """Bob may make keys of his own, which is why the view lets him in; another's he may not change."""
    made = keys.create_key(acme, as_alice, name="Alice's", scopes=["inference"], created_by=None)
    response = api_of(bob).patch(f"keys/{made.key.public_id}", {"name": "Bob's"})
    assert refused(response, 403, "permission_refused")
