"""Setting up, changing and removing connections: the rows, the trail, and who may."""

from __future__ import annotations

import pytest

from accounts.audit import Actor
from accounts.errors import NotPermitted
from accounts.models import AuditEvent
from providers import services
from providers.errors import InvalidConnection
from providers.models import Connection, ConnectionKey
from providers.sources import load_targets
from tests.providers.conftest import KEY

pytestmark = pytest.mark.django_db


def last_event(org) -> AuditEvent:
    return AuditEvent.objects.of(org).order_by("-sequence")[0]


def test_a_connection_with_key_and_model_becomes_a_target(acme, connect):
    connect(models=[{"id": "gpt", "upstream_id": "gpt-2026", "input_price": "0.15", "output_price": "0.6"}])
    [target] = load_targets(acme.pk)
    assert (target.name, target.upstream_id) == ("upstream/gpt", "gpt-2026")
    assert target.base_url == "https://llm.example/v1"
    assert [key.headers for key in target.credentials] == [(("authorization", f"Bearer {KEY}"),)]


def test_a_preset_needs_no_url(connect):
    connection = connect(preset="openai", name="Ours", base_url=None, models=None)
    assert connection.base_url == "https://api.openai.com/v1"
    assert connection.slug == "ours"


def test_creating_is_audited_without_the_key_and_grows_the_version(acme, as_alice, connect):
    before = acme.version
    connection = connect()
    event = last_event(acme)
    acme.refresh_from_db()
    assert acme.version > before
    assert (event.action, event.object_id) == ("connection.created", connection.public_id)
    assert (event.actor_id, event.after["base_url"]) == (as_alice.id, connection.base_url)
    assert KEY not in str(event.after)


def test_short_names_are_unique_among_what_an_organisation_sees(connect, rival, as_mallory, as_system):
    assert connect(name="Vendor").slug == "vendor"
    assert connect(name="Vendor").slug == "vendor-2"
    assert connect(name="Vendor", org=rival, actor=as_mallory).slug == "vendor"
    assert connect(name="Vendor", org=None, actor=as_system).slug == "vendor-3"
    assert connect(name="ผู้ให้บริการ").slug == "custom"
    assert connect(name="Node").slug == "node-2"


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        ({"preset": "nope"}, "preset"),
        ({"name": "  "}, "name"),
        ({"base_url": "nope"}, "base_url"),
        ({"priority": "high"}, "priority"),
        ({"api_keys": ["a b"]}, "api_keys"),
        ({"models": [{"id": "m", "input_price": "x"}]}, "models.0.input_price"),
        ({"models": [{"id": "m", "input_price": "1"}]}, "models.0.output_price"),
        ({"options": {"auth_header": "cookie"}}, "options.auth_header"),
    ],
)
def test_a_refusal_names_the_field_and_leaves_nothing_behind(connect, wishes, field):
    with pytest.raises(InvalidConnection) as refusal:
        connect(**wishes)
    assert list(refusal.value.fields) == [field]
    assert not Connection.objects.exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://169.254.169.254/v1", "http://[::1]:9/v1"])
def test_an_address_inside_is_refused_with_the_way_out(connect, settings, url):
    settings.EGRESS_ALLOW = ""
    with pytest.raises(InvalidConnection) as refusal:
        connect(base_url=url)
    assert (refusal.value.param, refusal.value.code) == ("base_url", "address_refused")
    assert "EGRESS_ALLOW" in refusal.value.message or "169.254" in url


def test_the_operator_may_allow_an_address_inside(connect, settings):
    settings.EGRESS_ALLOW = "127.0.0.1:9"
    assert connect(base_url="http://127.0.0.1:9/v1").pk


def test_people_without_the_permission_may_not(connect, as_bob, as_carol, as_mallory):
    connection = connect()
    for actor in (as_bob, as_carol, as_mallory):
        for attempt in (
            lambda actor=actor: connect(actor=actor, name="Other"),
            lambda actor=actor: services.update_connection(connection, actor, name="Mine"),
            lambda actor=actor: services.add_key(connection, actor, "sk-mine-0123456789abcdef"),
            lambda actor=actor: services.disable_connection(connection, actor),
            lambda actor=actor: services.set_models(connection, actor, []),
            lambda actor=actor: services.delete_connection(connection, actor),
        ):
            with pytest.raises(NotPermitted):
                attempt()
    connection.refresh_from_db()
    assert (connection.name, connection.enabled, connection.keys.count()) == ("Upstream", True, 1)


def test_the_platform_s_connections_are_the_operator_s(connect, as_alice, as_system, make_user):
    with pytest.raises(NotPermitted):
        connect(org=None, actor=as_alice)
    staff = Actor.of_user(make_user("op@platform.test", is_staff=True))
    for actor in (as_system, staff):
        assert connect(org=None, actor=actor, name=actor.label).org is None


def test_a_change_of_the_platform_reaches_every_organisation(acme, rival, connect, as_system):
    versions = acme.version, rival.version
    connect(org=None, actor=as_system)
    acme.refresh_from_db(), rival.refresh_from_db()
    assert (acme.version, rival.version) > versions
    assert rival.version > versions[1]


def test_a_changed_origin_forgets_the_keys_and_says_so(acme, as_alice, connect):
    connection = connect()
    updated = services.update_connection(connection, as_alice, base_url="https://other.example/v1")
    assert updated.keys_cleared == 1
    assert not ConnectionKey.objects.exists()
    [target] = load_targets(acme.pk)
    assert (target.credentials, target.options) == ((), {"needs_key": "yes"})
    assert last_event(acme).before["keys_cleared"] == 1


def test_a_changed_scheme_is_a_changed_origin(as_alice, connect):
    connection = connect()
    assert services.update_connection(connection, as_alice, base_url="http://llm.example/v1").keys_cleared == 1


def test_a_changed_path_keeps_the_keys(acme, as_alice, connect):
    connection = connect()
    assert services.update_connection(connection, as_alice, base_url="https://llm.example/api/v1").keys_cleared == 0
    assert load_targets(acme.pk)[0].credentials


def test_new_keys_may_come_with_the_new_origin(acme, as_alice, connect):
    connection = connect()
    services.update_connection(connection, as_alice, base_url="https://other.example/v1", api_keys=["sk-new"])
    [target] = load_targets(acme.pk)
    assert target.credentials[0].headers == (("authorization", "Bearer sk-new"),)
    assert target.options == {}


def test_an_update_that_changes_nothing_leaves_no_event(acme, as_alice, connect):
    connection = connect()
    services.update_connection(connection, as_alice, name="Upstream", priority=100)
    assert last_event(acme).action == "connection.created"


def test_an_update_tells_before_and_after(acme, as_alice, connect):
    services.update_connection(connect(), as_alice, name="Renamed", priority=5, options={"api_version": "preview"})
    event = last_event(acme)
    assert event.before == {"name": "Upstream", "priority": 100, "options": {}}
    assert event.after == {"name": "Renamed", "priority": 5, "options": {"api_version": "preview"}}
    assert load_targets(acme.pk)[0].options == {"api_version": "preview"}


def test_switching_off_takes_the_targets_away_and_on_brings_them_back(acme, as_alice, connect):
    connection = connect()
    assert services.disable_connection(connection, as_alice)
    assert not services.disable_connection(connection, as_alice)
    assert load_targets(acme.pk) == ()
    assert services.enable_connection(connection, as_alice)
    assert len(load_targets(acme.pk)) == 1


def test_deleting_says_what_is_lost(acme, as_alice, connect):
    first = connect(name="First", models=[{"id": "shared"}, {"id": "only-here"}, {"id": "off", "enabled": False}])
    connect(name="Second", models=[{"id": "shared"}])
    assert services.loss_without(first).models == ("only-here",)
    loss = services.delete_connection(first, as_alice)
    assert loss.targets == ("first/shared", "first/only-here")
    assert loss.models == ("only-here",)
    assert [target.name for target in load_targets(acme.pk)] == ["second/shared"]
    assert last_event(acme).action == "connection.deleted"
