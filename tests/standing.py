"""What all tests of a module look at, made once: in a transaction around those of the tests.

Each test's own transaction is a savepoint in it, so what a test changes is as it was for the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from accounts import roles
from accounts.audit import Actor
from accounts.models import Membership, Organization, User
from accounts.organizations import create_organization


@dataclass(frozen=True, slots=True)
class Cast:
    """Of `tests.conftest`, as far as such modules need it."""

    alice: User
    acme: Organization
    bob: User
    carol: User
    mallory: User
    rival: Organization

    @property
    def as_alice(self) -> Actor:
        return Actor.of_user(self.alice, "192.0.2.1", "tests")


@contextmanager
def around_tests(blocker: DjangoDbBlocker) -> Iterator[None]:
    """Rows that are made while it is open are there for all tests of that time, and gone afterwards.

    For fixtures of modules without transactional tests.
    """
    around = transaction.atomic()
    around._from_testcase = True  # what wants to be the outermost transaction takes it for none, as it does a test's
    with blocker.unblock(), around:
        yield
        transaction.set_rollback(True)


def make_cast(acme_domain: str = "acme.test", rival_domain: str = "rival.test") -> Cast:
    """Args: acme_domain, rival_domain: others than usual where single tests have the usual cast beside this one."""

    def user(address: str, **fields: str) -> User:
        return User.objects.create_user(address, None, **fields)

    alice, mallory = user(f"alice@{acme_domain}", name="Alice"), user(f"mallory@{rival_domain}", name="Mallory")
    acme, rival = create_organization(alice, "Acme"), create_organization(mallory, "Rival")
    bob, carol = user(f"bob@{acme_domain}", name="Bob"), user(f"carol@{acme_domain}")  # who never said her name
    Membership.objects.create(org=acme, user=bob, role=roles.DEVELOPER)
    Membership.objects.create(org=acme, user=carol, role=roles.VIEWER)
    return Cast(alice, acme, bob, carol, mallory, rival)
