from collections.abc import Iterator

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core.cache import cache

from accounts.models import User
from tests.conftest import PASSWORD


@pytest.fixture(autouse=True)
def _fresh_rate_limits(request):
    """allauth counts attempts in Redis, which no rolled-back transaction clears."""
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        cache.clear()


@pytest.fixture
def erin(make_user) -> User:
    """Somebody of no organisation, whose address is confirmed."""
    erin = make_user("erin@acme.test", password=PASSWORD)
    EmailAddress.objects.create(user=erin, email=erin.email, verified=True, primary=True)
    return erin


@pytest.fixture
def noon() -> Iterator[time_machine.Traveller]:
    """A clock that stands at noon in UTC until it is moved."""
    with time_machine.travel("2027-03-01T12:00:00Z", tick=False) as clock:
        yield clock
