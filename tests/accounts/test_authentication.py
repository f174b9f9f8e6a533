import os
import subprocess
import sys
from ipaddress import ip_network

import pytest

from accounts import apikeys
from accounts.authentication import Caller, KeyRecord, authenticate, credential
from common.errors import (
    InvalidApiKey,
    InvalidRequest,
    IpNotAllowed,
    KeyExpired,
    KeyRevoked,
    MissingApiKey,
    PermissionRefused,
)

NOW_S = 1_800_000_000.0
MINTED = apikeys.mint()
OTHER = apikeys.mint()


def record(**changes) -> KeyRecord:
    values = {
        "id": 7,
        "public_id": MINTED.public_id,
        "secret_hash": MINTED.secret_hash,
        "org_id": 3,
        "user_id": 5,
        "name": "ci",
        "scopes": frozenset({"inference"}),
    }
    return KeyRecord(**(values | changes))


def check(kept: KeyRecord, headers: dict[str, str] | None = None, client_ip: str = "192.0.2.7") -> KeyRecord:
    carried = {"authorization": f"Bearer {MINTED.key}"} if headers is None else headers
    return authenticate(carried.get, client_ip, {kept.public_id: kept}.get, NOW_S)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {MINTED.key}"},
        {"authorization": f"bearer   {MINTED.key} "},
        {"x-api-key": MINTED.key},
        {"api-key": MINTED.key},
        {"authorization": f"Bearer {MINTED.key}", "x-api-key": MINTED.key, "api-key": MINTED.key},
        {"authorization": "Basic dXNlcjpwYXNz", "api-key": MINTED.key},
    ],
)
def test_every_header_that_sdks_use_carries_the_key(headers):
    kept = record()
    assert check(kept, headers) is kept


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Bearer "}, {"authorization": "Basic dXNlcjpwYXNz"}]
)
def test_no_credential(headers):
    with pytest.raises(MissingApiKey):
        check(record(), headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {MINTED.key}", "x-api-key": OTHER.key},
        {"authorization": f"Bearer {MINTED.key}", "api-key": "anything"},
        {"x-api-key": OTHER.key, "api-key": MINTED.key},
    ],
)
def test_two_different_credentials_are_refused(headers):
    with pytest.raises(InvalidRequest) as refusal:
        check(record(), headers)
    assert refusal.value.status == 400
    assert MINTED.key not in str(refusal.value.body())


@pytest.mark.parametrize(
    "key",
    ["nonsense", OTHER.key, MINTED.key[:-1], MINTED.key + "x", MINTED.key.upper()],
    ids=["nonsense", "of another", "one short", "one more", "upper case"],
)
def test_a_wrong_key(key):
    with pytest.raises(InvalidApiKey) as refusal:
        check(record(), {"authorization": f"Bearer {key}"})
    assert refusal.value.code == "invalid_api_key"
    assert key not in str(refusal.value.body())


def test_the_right_id_with_another_secret_is_refused_without_telling_more():
    kept = record(secret_hash=OTHER.secret_hash, revoked_at_s=NOW_S - 1, expires_at_s=NOW_S - 1)
    with pytest.raises(InvalidApiKey) as refusal:
        check(kept)
    assert refusal.value.code == "invalid_api_key"


def test_a_typing_error_costs_no_look_up():
    def look_up(public_id):
        raise AssertionError("looked up")

    with pytest.raises(InvalidApiKey):
        authenticate({"api-key": MINTED.key[:-1] + "_"}.get, "", look_up)


def test_what_the_look_up_raises_comes_through():
    def away(public_id):
        raise ConnectionError

    with pytest.raises(ConnectionError):
        authenticate({"api-key": MINTED.key}.get, "", away)


def test_a_revoked_key():
    with pytest.raises(KeyRevoked):
        check(record(revoked_at_s=NOW_S - 1))


@pytest.mark.parametrize(("expires_at_s", "expired"), [(NOW_S - 1, True), (NOW_S, True), (NOW_S + 1, False)])
def test_a_key_ends_at_its_time(expires_at_s, expired):
    kept = record(expires_at_s=expires_at_s)
    if expired:
        with pytest.raises(KeyExpired):
            check(kept)
    else:
        assert check(kept) is kept


@pytest.mark.parametrize(
    ("networks", "client_ip", "allowed"),
    [
        ([], "anything", True),
        (["192.0.2.0/24"], "192.0.2.7", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.7", True),
        (["192.0.2.0/24"], "198.51.100.1", False),
        (["198.51.100.1", "2001:db8::/32"], "2001:db8::1", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["0.0.0.0/0"], "", False),
        (["0.0.0.0/0"], "not an address", False),
    ],
)
def test_addresses(networks, client_ip, allowed):
    kept = record(ip_networks=tuple(ip_network(entry) for entry in networks))
    if allowed:
        assert check(kept, client_ip=client_ip) is kept
    else:
        with pytest.raises(IpNotAllowed):
            check(kept, client_ip=client_ip)


def test_the_caller_carries_the_keys_rights():
    caller = Caller.of(record(allowed_models=frozenset({"gpt-x"})))
    assert (caller.org_id, caller.key_id, caller.user_id) == (3, 7, 5)
    assert caller.allowed_models == {"gpt-x"}
    caller.require_scope("inference")
    with pytest.raises(PermissionRefused) as refusal:
        caller.require_scope("manage")
    assert refusal.value.metadata == {"scope": "manage"}


def test_records_do_not_show_the_hash():
    assert MINTED.secret_hash.hex() not in repr(record())
    assert repr(MINTED.secret_hash) not in repr(record())


def test_the_credential_is_what_was_sent():
    assert credential({"x-api-key": "abc"}.get) == "abc"


def test_it_needs_no_django():
    """The data plane imports it before Django is set up, and a worker without a database can run it."""
    found = subprocess.run(
        [sys.executable, "-c", "import sys, accounts.authentication; print('django' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
    )
    assert found.stdout.strip() == "False"
