import pytest
from django.db import IntegrityError, connection, transaction

from accounts import keys
from accounts.constraints import same_organization


def save_at_once(key) -> None:
    """The reference is checked at the end of a transaction; here right away."""
    with transaction.atomic():
        key.save()
        connection.check_constraints()


@pytest.fixture
def two_keys(acme, rival, as_alice, as_mallory):
    values = {"name": "k", "scopes": ["inference"], "created_by": None}
    return keys.create_key(acme, as_alice, **values).key, keys.create_key(rival, as_mallory, **values).key


def test_a_key_does_not_replace_one_of_another_organization(two_keys):
    ours, theirs = two_keys
    ours.replaces = theirs
    with pytest.raises(IntegrityError, match="accounts_apikey_replaces_id_same_org"):
        save_at_once(ours)


def test_a_key_does_not_move_away_from_the_one_it_replaces(two_keys, as_alice, rival):
    new = keys.rotate_key(two_keys[0], as_alice).key
    new.org = rival
    with pytest.raises(IntegrityError, match="same_org"):
        save_at_once(new)


def test_within_an_organization_it_does(two_keys, as_alice):
    new = keys.rotate_key(two_keys[0], as_alice).key
    connection.check_constraints()
    assert new.replaces == two_keys[0]


def test_a_name_too_long_for_postgresql_is_refused_when_the_migration_is_written():
    with pytest.raises(ValueError, match="63"):
        same_organization("t" * 40, "c" * 20, "target")
