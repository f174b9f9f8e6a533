"""Keys that the gateway parked come back when the vendor takes them again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from providers import keypool, services
from providers.alerts import open_alerts
from providers.models import ConnectionKey
from providers.tasks import retry_parked_keys
from tests.fakes.upstream import FaultUpstream
from tests.providers.conftest import KEY

pytestmark = pytest.mark.django_db


@pytest.fixture
def parked(connect, upstream: FaultUpstream) -> ConnectionKey:
    [key] = connect(base_url=upstream.base_url, models=[{"id": "good"}]).keys.select_related("connection__org")
    upstream.keys = set()
    assert keypool.park_refused_key(key.public_id)
    due()
    return key


def due() -> None:
    ConnectionKey.objects.update(retry_at=timezone.now())


def state(key: ConnectionKey) -> str:
    return ConnectionKey.objects.get(pk=key.pk).state


def test_a_key_that_is_refused_again_stays_parked(parked, upstream):
    retry_parked_keys()
    assert state(parked) == "parked"
    assert len(upstream.log) == 1


def test_a_key_that_works_again_comes_back(acme, parked, upstream):
    upstream.keys = {KEY}
    retry_parked_keys()
    assert state(parked) == "active"
    event = AuditEvent.objects.of(acme).order_by("-sequence")[0]
    assert (event.action, event.actor_label) == ("connection.key_unparked", "recovery")


def test_what_a_person_parked_is_left_alone(as_alice, parked, upstream):
    upstream.keys = {KEY}
    parked.refresh_from_db()
    services.unpark_key(parked, as_alice)
    services.park_key(parked, as_alice, "set aside")
    retry_parked_keys()
    assert state(parked) == "parked"
    assert len(upstream.log) == 0


def test_nobody_is_asked_for_ever(parked, upstream):
    upstream.keys = {KEY}
    ConnectionKey.objects.update(state_changed_at=timezone.now() - timedelta(days=8))
    retry_parked_keys()
    assert state(parked) == "parked"


def test_a_key_that_cannot_be_opened_harms_no_other(connect, parked, upstream):
    [other] = connect(base_url=upstream.base_url, models=[{"id": "good"}]).keys.all()
    keypool.park_refused_key(other.public_id)
    due()
    ConnectionKey.objects.filter(pk=parked.pk).update(public_id="ckey_moved")
    upstream.keys = {KEY}
    retry_parked_keys()
    assert (state(parked), state(other)) == ("parked", "active")


def test_each_try_waits_twice_as_long_up_to_an_hour(parked, settings):
    settings.PROBE_INTERVAL_S = 30.0
    waits = []
    for _ in range(9):
        due()
        before = timezone.now()
        retry_parked_keys()
        waits.append(round((ConnectionKey.objects.get().retry_at - before).total_seconds()))
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_nobody_is_asked_before_the_time(parked, upstream):
    ConnectionKey.objects.update(retry_at=timezone.now() + timedelta(seconds=10))
    retry_parked_keys()
    assert len(upstream.log) == 0


def test_a_list_that_anybody_may_see_proves_no_key(parked, upstream):
    upstream.keys = {KEY}
    upstream.fail("401", "good")
    retry_parked_keys()
    assert state(parked) == "parked"


def test_the_alert_is_over_when_the_key_is_back(acme, parked, upstream):
    assert open_alerts(acme).exists()
    upstream.keys = {KEY}
    retry_parked_keys()
    assert not open_alerts(acme).exists()
