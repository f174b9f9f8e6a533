from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import apikeys, keys
from accounts.errors import InvalidField, KeyNotActive
from accounts.models import ApiKey, AuditEvent

pytestmark = pytest.mark.usefixtures("noon")


@pytest.fixture
def old(acme, as_alice, bob) -> ApiKey:
    return keys.create_key(
        acme,
        as_alice,
        name="ci",
        scopes=["inference"],
        allowed_models=["gpt-x"],
        ip_allow=["192.0.2.0/24"],
        created_by=bob,
    ).key


def test_the_new_key_has_the_same_rights(old, as_alice, bob):
    new, plain = keys.rotate_key(old, as_alice, overlap_s=60)
    assert new.replaces == old
    assert (new.name, new.scopes, new.allowed_models, new.ip_allow) == (
        "ci",
        ["inference"],
        ["gpt-x"],
        ["192.0.2.0/24"],
    )
    assert new.created_by == bob
    assert apikeys.parse(plain).public_id == new.public_id != old.public_id


def test_both_work_during_the_overlap_then_only_the_new_one(old, as_alice, noon):
    new = keys.rotate_key(old, as_alice, overlap_s=60).key
    old.refresh_from_db()
    noon.shift(59)
    assert (old.status(timezone.now()), new.status(timezone.now())) == ("active", "active")
    noon.shift(1)
    assert (old.status(timezone.now()), new.status(timezone.now())) == ("expired", "active")


def test_without_overlap_the_old_key_ends_at_once(old, as_alice):
    keys.rotate_key(old, as_alice)
    old.refresh_from_db()
    assert old.status(timezone.now()) == "expired"


def test_the_overlap_never_lengthens_the_old_keys_life(old, as_alice):
    soon = timezone.now() + timedelta(seconds=10)
    keys.update_key(old, as_alice, expires_at=soon)
    keys.rotate_key(old, as_alice, overlap_s=3600)
    old.refresh_from_db()
    assert old.expires_at == soon


def test_the_new_key_lives_as_long_as_the_old_one_was_meant_to(old, as_alice, noon):
    keys.update_key(old, as_alice, expires_at=timezone.now() + timedelta(days=30))
    noon.shift(timedelta(days=20))
    new = keys.rotate_key(old, as_alice, overlap_s=60).key
    assert new.expires_at == timezone.now() + timedelta(days=30)


def test_its_life_can_be_chosen(old, as_alice):
    tomorrow = timezone.now() + timedelta(days=1)
    assert keys.rotate_key(old, as_alice, expires_at=tomorrow).key.expires_at == tomorrow


def test_a_replaced_key_is_not_rotated_again(old, as_alice):
    keys.rotate_key(old, as_alice, overlap_s=3600)
    with pytest.raises(KeyNotActive):
        keys.rotate_key(old, as_alice)


@pytest.mark.parametrize("end", ["revoke", "expire"])
def test_an_ended_key_is_not_rotated(old, as_alice, noon, end):
    if end == "revoke":
        keys.revoke_key(old, as_alice)
    else:
        keys.update_key(old, as_alice, expires_at=timezone.now() + timedelta(seconds=1))
        noon.shift(1)
    with pytest.raises(KeyNotActive):
        keys.rotate_key(old, as_alice)


@pytest.mark.parametrize("overlap_s", [-1, 30 * 24 * 3600 + 1])
def test_an_absurd_overlap_is_refused(old, as_alice, overlap_s):
    with pytest.raises(InvalidField) as refusal:
        keys.rotate_key(old, as_alice, overlap_s=overlap_s)
    assert refusal.value.param == "overlap_s"


def test_it_is_audited_once(acme, old, as_alice):
    new = keys.rotate_key(old, as_alice, overlap_s=60).key
    event = AuditEvent.objects.of(acme).get(action="api_key.rotated")
    assert event.object_id == old.public_id
    assert event.before == {"expires_at": None}
    assert event.after == {"expires_at": "2027-03-01T12:01:00+00:00", "replaced_by": new.public_id}


def test_the_old_key_can_be_ended_early(old, as_alice):
    keys.rotate_key(old, as_alice, overlap_s=3600)
    assert keys.revoke_key(old, as_alice).status(timezone.now()) == "revoked"
