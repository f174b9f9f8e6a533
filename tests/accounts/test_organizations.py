import re

import pytest

from accounts import roles
from accounts.audit import Actor
from accounts.errors import InvalidField, NotPermitted, OrganizationGone
from accounts.models import AuditEvent, Membership, Organization
from accounts.organizations import create_organization, delete_organization, update_organization


def test_the_founder_is_the_owner(alice):
    acme = create_organization(alice, "  Acme \n Labs ")
    assert (acme.name, acme.slug) == ("Acme Labs", "acme-labs")
    assert acme.public_id.startswith("org_")
    assert Membership.objects.get_of(acme, user=alice).role == roles.OWNER


def test_the_founding_is_audited(acme, alice):
    event = AuditEvent.objects.get_of(acme)
    assert (event.action, event.actor_label, event.sequence) == ("organization.created", alice.email, 1)
    assert event.after == {"name": "Acme", "slug": "acme", "owner": alice.email}


def test_a_taken_slug_gets_a_suffix(acme, mallory):
    twin = create_organization(mallory, "Acme")
    assert re.fullmatch(r"acme-[0-9a-f]{6}", twin.slug)


@pytest.mark.parametrize("name", ["admin", "API", "node", "local"])
def test_words_of_urls_and_model_names_are_no_slugs(alice, name):
    assert create_organization(alice, name).slug.startswith(f"{name.lower()}-")


@pytest.mark.parametrize("name", ["บริษัท ไทย", "株式会社", "!!!"])
def test_a_name_without_latin_letters_has_a_slug_too(alice, name):
    created = create_organization(alice, name)
    assert created.name == name
    assert re.fullmatch(r"org(-[0-9a-f]{6})?", created.slug)


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "a\x07b", "Acme\u202egnp.exe"])
def test_a_bad_name_is_refused_beside_its_field(alice, name):
    with pytest.raises(InvalidField) as refusal:
        create_organization(alice, name)
    assert (refusal.value.param, list(refusal.value.fields)) == ("name", ["name"])
    assert not Organization.objects.exists()


def test_settings_change_with_before_and_after(acme, as_alice):
    changed = update_organization(
        acme, as_alice, name="Acme Inc", time_zone="Asia/Bangkok", log_content=True, retention_days=30
    )
    acme.refresh_from_db()
    assert (acme.name, acme.time_zone, acme.log_content) == ("Acme Inc", "Asia/Bangkok", True)
    assert changed.name == "Acme Inc"
    event = AuditEvent.objects.of(acme).last()
    assert event.before == {"name": "Acme", "time_zone": "UTC", "log_content": False}
    assert event.after == {"name": "Acme Inc", "time_zone": "Asia/Bangkok", "log_content": True}
    assert (event.ip, event.user_agent) == ("192.0.2.1", "tests")


def test_nothing_changed_is_nothing_audited(acme, as_alice):
    update_organization(acme, as_alice, name="Acme")
    assert AuditEvent.objects.of(acme).count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("time_zone", "Mars/Olympus"),
        ("default_strategy", "luckiest"),
        ("retention_days", 0),
        ("retention_days", 401),
    ],
)
def test_a_bad_setting_is_refused_beside_its_field(acme, as_alice, field, value):
    with pytest.raises(InvalidField) as refusal:
        update_organization(acme, as_alice, **{field: value})
    assert list(refusal.value.fields) == [field]


def test_an_unknown_setting_is_a_mistake_of_the_program(acme, as_alice):
    with pytest.raises(TypeError):
        update_organization(acme, as_alice, slug="mine")


def test_a_change_grows_the_version(acme, as_alice):
    before = Organization.objects.get(pk=acme.pk).version
    update_organization(acme, as_alice, name="New")
    assert Organization.objects.get(pk=acme.pk).version == before + 1


def test_deletion_needs_the_typed_name(acme, as_alice):
    with pytest.raises(InvalidField) as refusal:
        delete_organization(acme, as_alice, "acme")
    assert refusal.value.param == "typed_name"
    acme.refresh_from_db()
    assert acme.deleted_at is None


def test_a_deleted_organization_takes_no_more_changes(acme, as_alice):
    delete_organization(acme, as_alice, " Acme ")
    with pytest.raises(OrganizationGone) as refusal:
        update_organization(acme, as_alice, name="Back")
    assert refusal.value.status == 404
    assert AuditEvent.objects.of(acme).last().action == "organization.deleted"


def test_only_an_owner_deletes(acme, make_user, join):
    dave = make_user("dave@acme.test")
    join(acme, dave, roles.ADMIN)
    with pytest.raises(NotPermitted):
        delete_organization(acme, Actor.of_user(dave), "Acme")


def test_a_stranger_changes_nothing(acme, rival, as_mallory):
    with pytest.raises(NotPermitted):
        update_organization(acme, as_mallory, name="Owned")
    with pytest.raises(NotPermitted):
        delete_organization(acme, as_mallory, "Acme")
