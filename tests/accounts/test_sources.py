from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from django.utils import timezone

from accounts import keys, sources
from accounts.authentication import KeyRecord
from accounts.models import ApiKey, Entitlement, Organization
from accounts.organizations import delete_organization, update_organization


@pytest.fixture
def made(acme, as_alice, bob) -> keys.PlainKey:
    return keys.create_key(
        acme,
        as_alice,
        name="ci",
        scopes=["inference", "manage"],
        allowed_models=["gpt-x"],
        ip_allow=["10.0.0.0/8", "2001:db8::1"],
        tags=["batch"],
        expires_at=datetime(2099, 1, 1, tzinfo=UTC),
        created_by=bob,
    )


def past(key: ApiKey, **ago) -> None:
    ApiKey.objects.filter(pk=key.pk).update(**{field: timezone.now() - value for field, value in ago.items()})


def test_a_record_holds_what_a_request_is_checked_against(acme, made, bob):
    (record,) = sources.load_keys(acme.pk)
    assert record == KeyRecord(
        id=made.key.pk,
        public_id=made.key.public_id,
        secret_hash=bytes(made.key.secret_hash),
        org_id=acme.pk,
        user_id=bob.pk,
        name="ci",
        scopes=frozenset({"inference", "manage"}),
        allowed_models=frozenset({"gpt-x"}),
        ip_networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::1")),
        expires_at_s=datetime(2099, 1, 1, tzinfo=UTC).timestamp(),
        member="bob@acme.test",
        tags=("batch",),
    )


def test_only_the_organizations_own_keys(acme, rival, made):
    assert sources.load_keys(rival.pk) == []


def test_ended_keys_are_told_apart_for_a_month(acme, made, as_alice):
    keys.revoke_key(made.key, as_alice)
    (record,) = sources.load_keys(acme.pk)
    assert record.revoked_at_s == pytest.approx(timezone.now().timestamp(), abs=60)
    past(made.key, revoked_at=timedelta(days=31))
    assert sources.load_keys(acme.pk) == []


def test_long_expired_keys_are_left_out(acme, made):
    past(made.key, expires_at=timedelta(days=29))
    assert len(sources.load_keys(acme.pk)) == 1
    past(made.key, expires_at=timedelta(days=31))
    assert sources.load_keys(acme.pk) == []


def test_short_lived_keys_are_left_out_soon(acme, as_alice):
    key = keys.create_key(
        acme,
        as_alice,
        name="playground",
        scopes=["inference"],
        expires_at=timezone.now() + timedelta(hours=1),
        created_by=None,
        is_ephemeral=True,
    ).key
    assert sources.load_keys(acme.pk)[0].is_ephemeral
    past(key, expires_at=timedelta(hours=2))
    assert sources.load_keys(acme.pk) == []


def test_the_organization_of_a_key(acme, made):
    asked = [made.key.public_id, "nobodysKey12"]
    assert sources.find_key_orgs(asked) == {made.key.public_id: acme.pk}


def test_a_deleted_organization_has_neither_keys_nor_settings(acme, made, as_alice):
    before = sources.load_versions([acme.pk])[acme.pk]
    delete_organization(acme, as_alice, "Acme")
    assert sources.load_keys(acme.pk) == []
    assert sources.find_key_orgs([made.key.public_id]) == {}
    assert sources.load_organization(acme.pk) is None
    assert sources.load_versions([acme.pk]) == {acme.pk: before + 1}


def test_versions_grow_with_every_change(acme, rival, as_alice, made):
    before = sources.load_versions([acme.pk, rival.pk, 0])
    keys.update_key(made.key, as_alice, name="new")
    keys.rotate_key(made.key, as_alice)
    update_organization(acme, as_alice, log_content=True)
    after = sources.load_versions([acme.pk, rival.pk])
    assert after == {acme.pk: before[acme.pk] + 3, rival.pk: before[rival.pk]}


def test_settings_and_entitlements(acme, as_alice):
    update_organization(acme, as_alice, default_strategy="cheapest", log_content=True)
    Entitlement.objects.create(org=acme, name="nodes", value={"most": 5})
    record = sources.load_organization(acme.pk)
    assert (record.id, record.slug, record.public_id) == (acme.pk, "acme", acme.public_id)
    assert (record.default_strategy, record.log_content) == ("cheapest", True)
    assert record.version == Organization.objects.get(pk=acme.pk).version
    assert record.entitlements == {"nodes": {"most": 5}}


def test_the_last_use_is_noted_and_never_goes_back(made):
    def last_used_s():
        return ApiKey.objects.get(pk=made.key.pk).last_used_at.timestamp()

    sources.touch_last_used([(made.key.pk, 1000.0), (made.key.pk, 3000.5), (made.key.pk, 2000.0), (0, 1.0)])
    assert last_used_s() == 3000.5
    sources.touch_last_used([(made.key.pk, 2500.0)])
    assert last_used_s() == 3000.5
    sources.touch_last_used(iter([(made.key.pk, 4000.0)]))
    assert last_used_s() == 4000.0


def test_nothing_used_asks_nothing(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        sources.touch_last_used([])


def test_noting_a_use_is_no_change_of_configuration(acme, made):
    before = sources.load_versions([acme.pk])
    sources.touch_last_used([(made.key.pk, 1000.0)])
    assert sources.load_versions([acme.pk]) == before
