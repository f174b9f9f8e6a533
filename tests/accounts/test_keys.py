from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from accounts import apikeys, keys
from accounts.audit import Actor
from accounts.errors import InvalidField, KeyNotActive, NotPermitted, OrganizationGone
from accounts.models import ApiKey, AuditEvent, Organization
from accounts.organizations import delete_organization

INFERENCE = {"name": "ci", "scopes": ["inference"]}


@pytest.fixture
def ci_key(acme, as_alice, alice) -> ApiKey:
    return keys.create_key(acme, as_alice, **INFERENCE, created_by=alice).key


def events_of(organization, action):
    return AuditEvent.objects.of(organization).filter(action=action)


def test_the_plain_key_proves_the_stored_one(acme, as_alice, alice):
    key, plain = keys.create_key(acme, as_alice, **INFERENCE, created_by=alice)
    parts = apikeys.parse(plain)
    assert parts.public_id == key.public_id
    assert apikeys.matches(parts, bytes(ApiKey.objects.get_of(acme, pk=key.pk).secret_hash))
    assert key.status(timezone.now()) == "active"


def test_the_plain_key_is_nowhere_but_in_the_answer(acme, as_alice, alice):
    made = keys.create_key(acme, as_alice, **INFERENCE, created_by=alice)
    secret = made.plain[20:52]
    event = events_of(acme, "api_key.created").get()
    assert secret not in f"{made!r} {made.key!r} {vars(made.key)} {vars(event)}"


def test_creation_is_audited_and_seen_by_the_data_plane(acme, as_alice, alice):
    before = Organization.objects.get(pk=acme.pk).version
    key = keys.create_key(acme, as_alice, **INFERENCE, created_by=alice).key
    event = events_of(acme, "api_key.created").get()
    assert (event.object_id, event.object_label) == (key.public_id, "ci")
    assert event.after == {
        "name": "ci",
        "scopes": ["inference"],
        "allowed_models": None,
        "ip_allow": [],
        "tags": [],
        "logs_content": True,
        "expires_at": None,
    }
    assert Organization.objects.get(pk=acme.pk).version == before + 1


def test_values_are_brought_into_one_form(acme, as_alice, alice):
    key = keys.create_key(
        acme,
        as_alice,
        name="  my   key ",
        scopes=["manage", "inference", "manage"],
        allowed_models=["gpt-x", "gpt-x", "acme/llama "],
        ip_allow=["10.0.0.0/8", "192.0.2.1", "192.0.2.1/32", "2001:DB8::/32"],
        created_by=alice,
    ).key
    assert key.name == "my key"
    assert key.scopes == ["inference", "manage"]
    assert key.allowed_models == ["gpt-x", "acme/llama"]
    assert key.ip_allow == ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "name"),
        ("name", "x" * 81, "80"),
        ("scopes", [], "at least one"),
        ("scopes", ["admin"], "inference, manage"),
        ("allowed_models", [], "allow all"),
        ("allowed_models", ["two words"], "two words"),
        ("allowed_models", ["x" * 201], "model"),
        ("ip_allow", ["home"], "home"),
        ("ip_allow", ["10.0.0.1/8"], "10.0.0.0/8"),
        ("ip_allow", ["::ffff:10.0.0.1"], "IPv4"),
        ("ip_allow", ["10.0.0.0/33"], "10.0.0.0/33"),
        ("expires_at", datetime(2020, 1, 1, tzinfo=UTC), "passed"),
        ("expires_at", datetime(2099, 1, 1), "zone"),
    ],
)
def test_a_bad_value_is_refused_beside_its_field(acme, as_alice, alice, field, value, words):
    with pytest.raises(InvalidField) as refusal:
        keys.create_key(acme, as_alice, **(INFERENCE | {field: value}), created_by=alice)
    assert list(refusal.value.fields) == [field]
    assert words in refusal.value.fields[field][0]
    assert not ApiKey.objects.exists()


def test_all_mistakes_are_told_at_once(acme, as_alice, alice):
    with pytest.raises(InvalidField) as refusal:
        keys.create_key(acme, as_alice, name="", scopes=["x"], ip_allow=["y"], created_by=alice)
    assert list(refusal.value.fields) == ["name", "scopes", "ip_allow"]
    assert refusal.value.body()["error"]["metadata"]["fields"].keys() == {"name", "scopes", "ip_allow"}


def test_a_key_is_in_the_name_of_a_member(acme, as_alice, mallory):
    with pytest.raises(InvalidField) as refusal:
        keys.create_key(acme, as_alice, **INFERENCE, created_by=mallory)
    assert refusal.value.param == "created_by"


def test_there_is_an_end_to_the_number_of_keys(acme, as_alice, alice, monkeypatch):
    monkeypatch.setattr(keys, "MOST_ACTIVE_KEYS", 1)
    first = keys.create_key(acme, as_alice, **INFERENCE, created_by=alice).key
    with pytest.raises(InvalidField):
        keys.create_key(acme, as_alice, **INFERENCE, created_by=alice)
    keys.revoke_key(first, as_alice)
    keys.create_key(acme, as_alice, **INFERENCE, created_by=alice)


def test_an_update_changes_what_is_given(acme, ci_key, as_alice):
    expiry = timezone.now() + timedelta(days=1)
    keys.update_key(ci_key, as_alice, name="build", allowed_models=["gpt-x"], expires_at=expiry)
    ci_key.refresh_from_db()
    assert (ci_key.name, ci_key.allowed_models, ci_key.expires_at) == ("build", ["gpt-x"], expiry)
    assert ci_key.scopes == ["inference"]
    event = events_of(acme, "api_key.updated").get()
    assert event.before == {"name": "ci", "allowed_models": None, "expires_at": None}
    assert event.after["name"] == "build"


def test_none_lifts_a_bound(acme, ci_key, as_alice):
    keys.update_key(ci_key, as_alice, allowed_models=["gpt-x"], expires_at=timezone.now() + timedelta(days=1))
    keys.update_key(ci_key, as_alice, allowed_models=None, expires_at=None)
    ci_key.refresh_from_db()
    assert (ci_key.allowed_models, ci_key.expires_at) == (None, None)


def test_an_update_to_the_same_is_not_audited(acme, ci_key, as_alice):
    keys.update_key(ci_key, as_alice, name="ci", scopes=["inference"])
    assert not events_of(acme, "api_key.updated").exists()


def test_a_revoked_key_is_not_changed_any_more(ci_key, as_alice):
    keys.revoke_key(ci_key, as_alice)
    with pytest.raises(KeyNotActive):
        keys.update_key(ci_key, as_alice, name="again")


def test_revoking_twice_is_audited_once(acme, ci_key, as_alice):
    first = keys.revoke_key(ci_key, as_alice)
    again = keys.revoke_key(ci_key, as_alice)
    assert first.revoked_at == again.revoked_at
    assert first.status(timezone.now()) == "revoked"
    assert events_of(acme, "api_key.revoked").count() == 1


def test_a_deleted_organization_makes_no_keys(acme, as_alice, alice):
    delete_organization(acme, as_alice, "Acme")
    with pytest.raises(OrganizationGone):
        keys.create_key(acme, as_alice, **INFERENCE, created_by=alice)


class TestOwnKeys:
    """What bob, a developer, may do."""

    @pytest.fixture
    def bobs_key(self, acme, as_bob, bob) -> ApiKey:
        return keys.create_key(acme, as_bob, **INFERENCE, created_by=bob).key

    def test_he_changes_rotates_and_revokes_it(self, bobs_key, as_bob):
        keys.update_key(bobs_key, as_bob, name="mine")
        rotated = keys.rotate_key(bobs_key, as_bob).key
        assert keys.revoke_key(rotated, as_bob).revoked_at

    def test_he_makes_none_that_manages(self, acme, as_bob, bob):
        with pytest.raises(NotPermitted):
            keys.create_key(acme, as_bob, name="root", scopes=["inference", "manage"], created_by=bob)

    def test_he_does_not_widen_one_to_manage(self, bobs_key, as_bob):
        with pytest.raises(NotPermitted):
            keys.update_key(bobs_key, as_bob, scopes=["inference", "manage"])

    def test_he_makes_none_for_others_or_for_nobody(self, acme, as_bob, alice):
        for person in (alice, None):
            with pytest.raises(NotPermitted):
                keys.create_key(acme, as_bob, **INFERENCE, created_by=person)

    def test_he_does_not_touch_those_of_others(self, ci_key, as_bob):
        with pytest.raises(NotPermitted):
            keys.update_key(ci_key, as_bob, name="mine")
        with pytest.raises(NotPermitted):
            keys.rotate_key(ci_key, as_bob)
        with pytest.raises(NotPermitted):
            keys.revoke_key(ci_key, as_bob)

    def test_an_admin_touches_his(self, bobs_key, as_alice):
        assert keys.revoke_key(bobs_key, as_alice).revoked_at


class TestManagingKeys:
    """A key with the scope `manage` acts as an admin of its organisation, as long as it is valid."""

    @pytest.fixture
    def root(self, acme, as_alice) -> ApiKey:
        return keys.create_key(acme, as_alice, name="root", scopes=["manage"], created_by=None).key

    def test_it_makes_keys(self, acme, root):
        made = keys.create_key(acme, Actor.of_key(root), **INFERENCE, created_by=None).key
        event = events_of(acme, "api_key.created").get(object_id=made.public_id)
        assert (event.actor_type, event.actor_id, event.actor_label) == ("key", root.public_id, "root")

    def test_it_does_not_own(self, acme, root):
        with pytest.raises(NotPermitted):
            delete_organization(acme, Actor.of_key(root), "Acme")

    def test_not_in_another_organization(self, rival, root):
        with pytest.raises(NotPermitted):
            keys.create_key(rival, Actor.of_key(root), **INFERENCE, created_by=None)

    def test_not_once_it_is_revoked(self, acme, root, as_alice):
        keys.revoke_key(root, as_alice)
        with pytest.raises(NotPermitted):
            keys.create_key(acme, Actor.of_key(root), **INFERENCE, created_by=None)

    def test_not_once_it_has_expired(self, acme, root):
        ApiKey.objects.filter(pk=root.pk).update(expires_at=timezone.now())
        with pytest.raises(NotPermitted):
            keys.create_key(acme, Actor.of_key(root), **INFERENCE, created_by=None)

    def test_a_key_that_only_calls_models_does_not_manage(self, acme, ci_key):
        with pytest.raises(NotPermitted):
            keys.create_key(acme, Actor.of_key(ci_key), **INFERENCE, created_by=None)


class TestShortLivedKeys:
    """What the Playground makes."""

    @staticmethod
    def make(acme, actor, user, **changes):
        values = {**INFERENCE, "expires_at": timezone.now() + timedelta(hours=1), "is_ephemeral": True}
        return keys.create_key(acme, actor, **(values | changes), created_by=user).key

    def test_whoever_may_use_the_playground_has_one(self, acme, make_user, join):
        dora = make_user("dora@acme.test")
        join(acme, dora, "provider")
        actor = Actor.of_user(dora)
        assert self.make(acme, actor, dora).is_ephemeral
        with pytest.raises(NotPermitted):
            self.make(acme, actor, dora, is_ephemeral=False)

    def test_a_viewer_has_none(self, acme, as_carol, carol):
        with pytest.raises(NotPermitted):
            self.make(acme, as_carol, carol)

    @pytest.mark.parametrize(
        ("field", "changes"),
        [
            ("expires_at", {"expires_at": None}),
            ("scopes", {"scopes": ["inference", "manage"]}),
        ],
    )
    def test_they_stay_small_and_short(self, acme, as_alice, alice, field, changes):
        with pytest.raises(InvalidField) as refusal:
            self.make(acme, as_alice, alice, **changes)
        assert refusal.value.param == field

    def test_they_do_not_outlast_a_day(self, acme, as_alice, alice):
        with pytest.raises(InvalidField):
            self.make(acme, as_alice, alice, expires_at=timezone.now() + timedelta(hours=25))
        key = self.make(acme, as_alice, alice)
        with pytest.raises(InvalidField):
            keys.update_key(key, as_alice, expires_at=None)
        with pytest.raises(InvalidField):
            keys.update_key(key, as_alice, scopes=["manage"])


def test_another_organizations_key_is_not_there(acme, rival, ci_key):
    with pytest.raises(ApiKey.DoesNotExist):
        ApiKey.objects.get_of(rival, public_id=ci_key.public_id)


def test_a_stranger_does_not_touch_keys(ci_key, rival, as_mallory):
    for attempt in (keys.revoke_key, keys.rotate_key, keys.update_key):
        with pytest.raises(NotPermitted):
            attempt(ci_key, as_mallory)
