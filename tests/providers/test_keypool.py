"""Keys at rest are bound to their place; in use they are parked and come back."""

from __future__ import annotations

import base64
import re

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db import connection as database

from accounts.models import AuditEvent
from common.secrets import SealBroken
from providers import keypool, sealing, services
from providers.errors import InvalidConnection
from providers.models import Connection, ConnectionKey
from providers.sealing import open_key
from providers.sources import load_targets
from tests.providers.conftest import KEY

pytestmark = pytest.mark.django_db

OTHER = "sk-another-0123456789abcdef"


@pytest.fixture
def ring(settings):
    """Sets the key ring; the one in memory is forgotten before and after."""

    def ring(*numbers: int) -> None:
        keys = {n: base64.b64encode(bytes((n * 31 + i * 7) % 256 for i in range(32))).decode() for n in numbers}
        settings.KEYRING = ",".join(f"{n}:{key}" for n, key in keys.items())
        sealing.keyring.cache_clear()

    yield ring
    sealing.keyring.cache_clear()


def credentials(org) -> list[str]:
    return [dict(key.headers)["authorization"] for target in load_targets(org.pk) for key in target.credentials]


def test_the_database_never_holds_the_key(connect):
    [row] = connect().keys.all()
    assert KEY.encode() not in bytes(row.sealed)
    assert row.hint == KEY[-4:]
    assert KEY not in repr(row)


def test_a_key_opens_only_in_its_place(acme, rival, connect, as_mallory):
    [row] = connect().keys.all()
    theirs = connect(org=rival, actor=as_mallory)
    moved = ConnectionKey.objects.get(pk=row.pk)
    moved.public_id = theirs.keys.get().public_id
    elsewhere = Connection.objects.get(pk=row.connection_id)
    elsewhere.base_url = "https://evil.example/v1"
    stolen = ConnectionKey.objects.get(pk=row.pk)
    stolen.org_id = rival.pk
    for key, connection in ((moved, row.connection), (row, elsewhere), (stolen, row.connection)):
        with pytest.raises(SealBroken):
            open_key(key, connection)
    assert open_key(row, row.connection) == KEY


def test_a_url_changed_behind_our_back_does_not_get_the_key(acme, connect):
    connection = connect()
    Connection.objects.filter(pk=connection.pk).update(base_url="https://evil.example/v1")
    [target] = load_targets(acme.pk)
    assert target.credentials == ()
    assert target.options == {"needs_key": "yes", "unreadable_keys": "1"}


def test_several_keys_with_weights(acme, as_alice, connect):
    connection = connect()
    services.add_key(connection, as_alice, OTHER, label="second", weight=3)
    assert credentials(acme) == [f"Bearer {KEY}", f"Bearer {OTHER}"]
    assert [key.weight for key in load_targets(acme.pk)[0].credentials] == [1, 3]


def test_a_key_is_stored_once(as_alice, connect):
    with pytest.raises(InvalidConnection, match="already"):
        services.add_key(connect(), as_alice, f" {KEY} ")


def test_a_key_that_cannot_be_opened_does_not_stand_in_the_way_of_another(acme, as_alice, connect):
    connection = connect()
    ConnectionKey.objects.update(public_id="ckey_moved")
    services.add_key(connection, as_alice, KEY)
    assert credentials(acme) == [f"Bearer {KEY}"]
    assert load_targets(acme.pk)[0].options == {"unreadable_keys": "1"}


def test_removing_the_last_key_leaves_a_connection_without(acme, as_alice, connect):
    [row] = connect().keys.all()
    services.remove_key(row, as_alice)
    [target] = load_targets(acme.pk)
    assert (target.credentials, target.options) == ((), {})
    assert AuditEvent.objects.of(acme).order_by("-sequence")[0].action == "connection.key_removed"


def test_a_vendor_that_needs_a_key_says_so_without_one(acme, connect):
    connect(preset="openai", base_url=None, api_keys=[])
    [target] = load_targets(acme.pk)
    assert (target.credentials, target.options["needs_key"]) == ((), "yes")


def test_a_refused_key_is_parked_once_and_may_come_back(acme, as_alice, connect):
    connection = connect()
    services.add_key(connection, as_alice, OTHER)
    row = connection.keys.get(hint=KEY[-4:], label="", pk=connection.keys.order_by("pk")[0].pk)
    assert keypool.park_refused_key(row.public_id)
    assert not keypool.park_refused_key(row.public_id)
    assert credentials(acme) == [f"Bearer {OTHER}"]
    assert load_targets(acme.pk)[0].options == {"parked_keys": "1"}
    row.refresh_from_db()
    assert (row.state, row.state_reason) == ("parked", keypool.REFUSED)
    assert services.unpark_key(row, as_alice)
    assert len(credentials(acme)) == 2
    actions = list(AuditEvent.objects.of(acme).order_by("sequence").values_list("action", "actor_label"))
    assert actions[-2:] == [("connection.key_parked", "gateway"), ("connection.key_unparked", as_alice.label)]


def test_parking_a_key_that_is_gone_is_nothing(db):
    assert not keypool.park_refused_key("ckey_gone")


def test_with_all_keys_parked_the_target_says_that_it_needs_one(acme, connect):
    [row] = connect().keys.all()
    keypool.park_refused_key(row.public_id)
    [target] = load_targets(acme.pk)
    assert (target.credentials, target.options) == ((), {"needs_key": "yes", "parked_keys": "1"})


def test_a_key_goes_into_the_header_that_is_wanted(acme, connect):
    connect(preset="azure", base_url="https://llm.example/openai/v1", name="Azure", models=[{"id": "a"}])
    connect(options={"auth_header": "X-Api-Key"}, name="Other", models=[{"id": "b"}])
    headers = {target.model_id: target.credentials[0].headers for target in load_targets(acme.pk)}
    assert headers == {"a": (("api-key", KEY),), "b": (("x-api-key", KEY),)}


def test_rotation_seals_anew_can_be_repeated_and_keeps_what_it_cannot_open(acme, as_alice, connect, ring, capsys):
    ring(1)
    connection = connect()
    services.add_key(connection, as_alice, OTHER)
    version = type(acme).objects.get(pk=acme.pk).version
    broken, fine = connection.keys.order_by("pk")
    ConnectionKey.objects.filter(pk=broken.pk).update(public_id="ckey_moved")
    ring(1, 2)
    call_command("rotate_secrets", "--batch", "1")
    assert re.search(r"1 sealed anew, 1 cannot be opened", capsys.readouterr().out)
    call_command("rotate_secrets")
    assert re.search(r"0 sealed anew, 1 cannot be opened", capsys.readouterr().out)
    ring(2)
    fine.refresh_from_db()
    assert open_key(fine, connection) == OTHER
    assert type(acme).objects.get(pk=acme.pk).version == version


def test_a_key_cannot_belong_to_another_organisation_than_its_connection(connect, rival):
    [row] = connect().keys.all()
    ConnectionKey.objects.filter(pk=row.pk).update(org=rival)
    with pytest.raises(IntegrityError), transaction.atomic():
        database.check_constraints()
    ConnectionKey.objects.filter(pk=row.pk).update(org=row.org)
