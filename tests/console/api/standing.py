"""The cast for modules whose tests all look at the same things.

    cast, alice, acme, bob, mallory, rival = standing.FIXTURES

in a module gives it these fixtures instead of those of the conftest.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest

from accounts.models import Organization, User
from tests.standing import Cast, around_tests, make_cast


@pytest.fixture(scope="module")
def cast(django_db_setup, django_db_blocker) -> Iterator[Cast]:
    with around_tests(django_db_blocker):
        yield make_cast()


@pytest.fixture
def alice(cast: Cast, db) -> User:
    """A copy, as the others: what a test does to it in memory is nobody else's."""
    return deepcopy(cast.alice)


@pytest.fixture
def acme(cast: Cast, db) -> Organization:
    return deepcopy(cast.acme)


@pytest.fixture
def bob(cast: Cast, db) -> User:
    return deepcopy(cast.bob)


@pytest.fixture
def mallory(cast: Cast, db) -> User:
    return deepcopy(cast.mallory)


@pytest.fixture
def rival(cast: Cast, db) -> Organization:
    return deepcopy(cast.rival)


FIXTURES = (cast, alice, acme, bob, mallory, rival)
