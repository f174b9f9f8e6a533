"""Admins are told of a key that was parked and of a provider that is down: once each, until it is over."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from accounts import roles
from providers import keypool, services
from providers.alerts import open_alerts, raise_alert, resolve_alerts
from providers.models import Alert, Connection
from providers.tasks import mail_alerts
from tests.providers.conftest import KEY

pytestmark = pytest.mark.django_db

OTHER = "sk-another-0123456789abcdef"


@pytest.fixture
def parked(connect):
    """One of two keys of acme's connection was refused."""
    _first, second = connect(api_keys=[KEY, OTHER]).keys.select_related("connection__org").order_by("pk")
    assert keypool.park_refused_key(second.public_id)
    second.refresh_from_db()
    return second


def mailed() -> list[str]:
    mail_alerts()
    return sorted(address for message in mail.outbox for address in message.to)


def test_a_refused_key_is_told_to_every_admin_once(acme, make_user, join, bob, carol, parked):
    join(acme, make_user("dan@acme.test"), roles.ADMIN)
    assert mailed() == ["alice@acme.test", "dan@acme.test"]
    assert mailed() == ["alice@acme.test", "dan@acme.test"]
    message = mail.outbox[0]
    assert "Upstream refused a key" in message.subject
    assert "1 other key goes on" in message.body
    assert f"/providers/{parked.connection.public_id}" in message.body
    assert KEY not in message.body
    assert OTHER not in message.body


def test_the_last_key_is_told_as_such(connect):
    keypool.park_refused_key(connect().keys.get().public_id)
    mail_alerts()
    assert "the last one" in mail.outbox[0].body


def test_each_reads_it_in_the_own_language(alice, parked):
    alice.language = "th"
    alice.save()
    mail_alerts()
    assert re.search("[ก-๙]", mail.outbox[0].subject)
    assert re.search("[ก-๙]", mail.outbox[0].body)


@pytest.mark.parametrize("end", ["unpark_key", "remove_key"])
def test_it_is_over_when_the_key_is_back_or_gone(acme, as_alice, parked, end):
    assert open_alerts(acme).get().subject == parked.public_id
    getattr(services, end)(parked, as_alice)
    assert not open_alerts(acme).exists()
    assert mailed() == [], "nobody is told of what is over"


def test_what_a_person_parks_raises_nothing(acme, as_alice, connect):
    services.park_key(connect().keys.select_related("connection__org").get(), as_alice, "set aside")
    assert not Alert.objects.exists()


def test_the_same_trouble_is_not_mailed_twice_within_an_hour(acme, connect):
    connection = connect()
    for _ in range(2):
        raise_alert(connection, Alert.DOWN, reason="refused")
        raise_alert(connection, Alert.DOWN, reason="refused")
        mail_alerts()
        resolve_alerts(connection, Alert.DOWN)
    assert (len(mail.outbox), Alert.objects.count()) == (1, 2)
    Alert.objects.update(mailed_at=timezone.now() - timedelta(hours=2))
    raise_alert(connection, Alert.DOWN, reason="refused")
    mail_alerts()
    assert len(mail.outbox) == 2


def test_without_a_mail_server_it_waits(parked, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert mail_alerts() is None
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert mailed() == ["alice@acme.test"]


def test_of_the_platforms_connection_its_staff_is_told(acme, as_system, make_user):
    make_user("root@platform.test", is_staff=True)
    platform = services.create_connection(
        None, as_system, preset="custom", name="P", base_url="https://p.example/v1", api_keys=[KEY]
    )
    raise_alert(platform, Alert.DOWN)
    assert mailed() == ["root@platform.test"]
    assert not open_alerts(acme).exists()
    assert open_alerts(acme, of_platform=True).exists()


def test_a_disabled_connection_is_no_trouble(acme, parked):
    Connection.objects.update(enabled=False)
    assert not open_alerts(acme).exists()
    assert mailed() == []
