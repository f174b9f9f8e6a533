"""The cast: acme with alice (owner), bob (developer) and carol (viewer); rival with mallory (owner)."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import httpx
import pytest
from django.db import DatabaseError, connection
from django.test import Client, TransactionTestCase
from django.test.utils import override_settings, setup_databases, teardown_databases
from django.utils import translation
from hypothesis import HealthCheck, settings
from pytest_django.plugin import blocking_manager_key

from accounts import roles
from accounts.audit import Actor
from accounts.models import Membership, Organization, User
from accounts.organizations import create_organization
from tests.abreast import arranged, workers
from tests.emptying import empty_tables
from tests.migrated import wait_until_made

PASSWORD = "correct horse battery staple"

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # how long an example takes says how busy the machine is


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = arranged(items, workers())


LEAVING = {"e2e", "nodes_e2e", "routing"}
"""Folders whose tests commit what gateways and browsers are to see, and whose gateways serve several files."""

_IS_MADE = pytest.StashKey[bool]()
"""Whether there is a test database yet. Until then Django's connection leads to the one that the settings name."""
_FILE = pytest.StashKey[Path]()
"""Of the test before."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A file of another folder begins with an empty database, whatever this worker has run before."""
    translation.deactivate()  # the language of whoever was answered last
    stash = item.config.stash
    is_new, stash[_FILE] = stash.get(_FILE, None) != item.path, item.path
    if is_new and LEAVING.isdisjoint(item.nodeid.split("/")[:2]) and stash.get(_IS_MADE, False):
        with stash[blocking_manager_key].unblock():
            empty_tables(TransactionTestCase())


@pytest.fixture(scope="session", autouse=True)
def _quick_hashing() -> Iterator[None]:
    """A password's real cost is a quarter of a second of computing, whenever one is set or tried."""
    with override_settings(PASSWORD_HASHERS=["tests.accounts.hashers.QuickArgon2"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def _authorities_are_read_once() -> Iterator[None]:
    """httpx reads all certificate authorities for each client and each single call, for 20 ms of computing."""
    read = httpx.create_ssl_context

    @cache
    def kept(trust_env: bool, file: str | None, folder: str | None) -> ssl.SSLContext:
        return read(trust_env=trust_env)

    def context(verify: object = True, cert: object = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is not True or cert is not None:
            return read(verify, cert, trust_env)
        return kept(trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", context)
        yield


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment, django_db_blocker, django_db_modify_db_settings, pytestconfig
) -> Iterator[None]:
    """The test database, made also for tests that commit without the marker of pytest-django."""
    with django_db_blocker.unblock():
        if migrated := wait_until_made():
            connection.settings_dict["TEST"]["TEMPLATE"] = migrated
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"}, serialized_aliases=())
    pytestconfig.stash[_IS_MADE] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_tables)
        yield
    pytestconfig.stash[_IS_MADE] = False
    with django_db_blocker.unblock(), suppress(DatabaseError):
        # A gateway of the tests may still hold a connection; the engines are thrown away in any case.
        teardown_databases(made, verbosity=0)


@pytest.fixture
def make_user(db) -> Callable[..., User]:
    def make(email: str, **fields) -> User:
        return User.objects.create_user(email, fields.pop("password", None), **fields)

    return make


@pytest.fixture
def join() -> Callable[[Organization, User, str], Membership]:
    def join(organization: Organization, user: User, role: str) -> Membership:
        return Membership.objects.create(org=organization, user=user, role=role)

    return join


@pytest.fixture
def alice(make_user) -> User:
    return make_user("alice@acme.test", name="Alice")


@pytest.fixture
def acme(alice) -> Organization:
    return create_organization(alice, "Acme")


@pytest.fixture
def bob(make_user, acme, join) -> User:
    bob = make_user("bob@acme.test", name="Bob")
    join(acme, bob, roles.DEVELOPER)
    return bob


@pytest.fixture
def carol(make_user, acme, join) -> User:
    carol = make_user("carol@acme.test", name="Carol")
    join(acme, carol, roles.VIEWER)
    return carol


@pytest.fixture
def mallory(make_user) -> User:
    return make_user("mallory@rival.test", name="Mallory")


@pytest.fixture
def rival(mallory) -> Organization:
    return create_organization(mallory, "Rival")


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """A browser in which the user is signed in."""

    def client_of(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return client_of


@pytest.fixture
def as_alice(alice) -> Actor:
    return Actor.of_user(alice, "192.0.2.1", "tests")


@pytest.fixture
def as_bob(bob) -> Actor:
    return Actor.of_user(bob, "192.0.2.2", "tests")


@pytest.fixture
def as_carol(carol) -> Actor:
    return Actor.of_user(carol, "192.0.2.3", "tests")


@pytest.fixture
def as_mallory(mallory) -> Actor:
    return Actor.of_user(mallory, "192.0.2.66", "tests")
