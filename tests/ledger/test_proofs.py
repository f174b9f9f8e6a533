"""The hourly proof: kept, shown, told to staff once, and one at a time."""

from datetime import timedelta

import psycopg
import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from ledger import proofs
from ledger.invariants import all_invariants
from ledger.models import Proof
from ledger.tasks import reconcile

pytestmark = pytest.mark.django_db
HELD_FOR_NOBODY = "UPDATE ledger_account SET held = held + 1 WHERE kind = 'wallet'"


@pytest.fixture
def sam(make_user):
    return make_user("sam@operator.test", is_staff=True)


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_it_is_hourly_and_keeps_what_it_read(topped_up, settings, sam):
    hourly = [one["task"] for one in settings.CELERY_BEAT_SCHEDULE.values() if one["schedule"] == 3600]
    assert reconcile.name in hourly
    assert reconcile.time_limit == settings.RECONCILE_LIMIT_S
    reconcile()
    (proof,) = Proof.objects.all()
    assert proof.ended_at is not None
    assert proof.took_s.keys() == {invariant.name for invariant in all_invariants()}
    assert proof.findings == []
    assert (proofs.standing().newest, proofs.standing().is_late) == (proof, False)
    assert mail.outbox == []


@pytest.mark.breaks_invariants
def test_staff_are_told_of_what_it_finds_once(topped_up, sam, alice, caplog):
    execute(HELD_FOR_NOBODY)
    for _hour in range(3):
        reconcile()
    assert "I6 does not hold" in caplog.text
    (message,) = mail.outbox
    assert message.to == [sam.email]
    assert f"I6 · account {topped_up.pk}: held is 1" in message.body
    execute(HELD_FOR_NOBODY)
    reconcile()
    assert "held is 2" in mail.outbox[1].body


@pytest.mark.breaks_invariants
def test_while_the_mail_server_is_away_it_is_told_later(topped_up, sam, settings):
    execute(HELD_FOR_NOBODY)
    backend, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    reconcile()
    settings.EMAIL_BACKEND = backend
    reconcile()
    assert len(mail.outbox) == 1


def test_one_that_was_stopped_is_told_of(topped_up, sam):
    stopped = Proof.objects.create(took_s={"I1": 3.5}, started_at=timezone.now() - timedelta(hours=4))
    assert proofs.standing() == proofs.Standing(None, was_stopped=True, is_late=True)
    for _hour in range(2):
        reconcile()
    (message,) = mail.outbox
    assert "1 earlier proof was stopped" in message.body
    stopped.refresh_from_db()
    assert stopped.told_at is not None
    assert not proofs.standing().was_stopped


def test_an_old_one_is_late(topped_up):
    proof = proofs.prove()
    Proof.objects.filter(pk=proof.pk).update(ended_at=timezone.now() - proofs.LATE_AFTER - timedelta(minutes=1))
    assert proofs.standing().is_late


def test_two_do_not_run_at_once(topped_up):
    about = connection.get_connection_params()
    about = {name: about[name] for name in ("dbname", "user", "password", "host", "port") if name in about}
    with psycopg.connect(**about) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [proofs._LOCK])
        assert proofs.prove() is None
    assert proofs.prove() is not None
    assert Proof.objects.count() == 1
