"""Probes of connections: who is asked, how cheaply, by whom, and what comes of the answer."""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection as database
from django.utils import timezone

from metering.partitions import ensure_partitions
from metering.usage import UsageRecord
from providers import breakers, pulses
from providers.breakers import Seen, Subject
from providers.models import BreakerState, Connection, ConnectionKey, HealthChange, ProbeDay, Pulse
from providers.tasks import forget_old_health, probe_connections
from tests.metering.conftest import record_directly
from tests.providers.conftest import KEY

pytestmark = pytest.mark.django_db


@pytest.fixture
def there(connect, upstream) -> Connection:
    """A connection to a real server, which has a pulse already and is due."""
    return enlisted(connect(base_url=upstream.base_url, models=[{"id": "good"}]))


def enlisted(connection: Connection) -> Connection:
    pulses._enlist()
    due(connection)
    return connection


def due(connection: Connection) -> None:
    Pulse.objects.filter(connection=connection).update(next_at=timezone.now())


def probe(connection: Connection, times: int = 1) -> Pulse:
    for _ in range(times):
        due(connection)
        probe_connections()
    return Pulse.objects.get(connection=connection)


def asked(upstream) -> list[str]:
    return [exchange.path for exchange in upstream.log]


def changes(connection: Connection) -> list[tuple[str, str, str]]:
    rows = HealthChange.objects.filter(connection_id=connection.pk, target_id=0).order_by("pk")
    return [*rows.values_list("before", "after", "reason")]


def served(connection: Connection):
    return connection.served_models.get()


def live_traffic(connection: Connection, seconds_ago: float = 1, **fields) -> None:
    ensure_partitions()
    record_directly(
        UsageRecord(
            **{
                "request_id": f"req_{timezone.now().timestamp()}",
                "started_at": (timezone.now() - timedelta(seconds=seconds_ago)).isoformat(),
                "org_id": connection.org_id,
                "key_id": None,
                "user_id": None,
                "endpoint": "chat/completions",
                "model": "good",
                "status": 200,
                "usage_source": "reported",
                "billing_reason": "completed",
                "target_id": served(connection).pk,
            }
            | fields
        )
    )


def opened(connection: Connection) -> None:
    """The data plane tells that the breaker of the connection's model opened."""
    model, key = served(connection), connection.keys.get()
    subject = Subject(model.pk, "upstream/good", model.org_id, connection.pk)
    until = timezone.now() + timedelta(seconds=15)
    breakers.record_breakers([Seen(subject, key.pk, key.public_id, is_open=True, until=until, reason="server_error")])


def test_a_list_of_models_is_proof_enough_and_costs_no_token(there, upstream):
    pulse = probe(there)
    assert asked(upstream) == ["/v1/models"]
    assert (pulse.state, pulse.proof, pulse.failures) == (Pulse.UP, "models", 0)
    assert pulse.latency_ms is not None


@pytest.mark.parametrize("status", [404, 500])
def test_where_the_list_says_nothing_useful_one_token_does(there, upstream, status):
    upstream.models_status = status
    pulse = probe(there)
    assert asked(upstream) == ["/v1/models", "/v1/chat/completions"]
    assert upstream.log.last.body["max_tokens"] == 1
    assert (pulse.state, pulse.proof) == (Pulse.UP, "token")


@pytest.mark.parametrize(("status", "failures"), [(200, 0), (404, 0), (500, 1)])
def test_no_picture_is_made_for_a_probe(connect, upstream, status, failures):
    """Not even where there is no list, or where the model is in doubt: whoever answers lives."""
    made = enlisted(connect(base_url=upstream.base_url, models=[{"id": "painter", "kind": "image"}]))
    opened(made)
    upstream.models_status = status
    pulse = probe(made)
    assert asked(upstream) == ["/v1/models"]
    assert pulse.failures == failures


def test_nobody_is_asked_before_the_time(there, upstream):
    Pulse.objects.update(next_at=timezone.now() + timedelta(seconds=1000))
    assert pulses.probe_due() == 0
    assert asked(upstream) == []


def test_intervals_are_jittered_and_never_longer_than_set(there, settings):
    settings.PROBE_INTERVAL_S = 1000.0
    waits = {round((probe(there).next_at - timezone.now()).total_seconds()) for _ in range(6)}
    assert len(waits) > 1
    assert min(waits) >= 799
    assert max(waits) <= 1000


def test_two_failures_in_a_row_are_down_and_one_answer_is_up(connect, upstream, settings):
    settings.EGRESS_ALLOW = f"127.0.0.1:{upstream.port}, 127.0.0.1:1"
    there = enlisted(connect(base_url="http://127.0.0.1:1/v1", api_keys=[], models=[{"id": "good"}]))
    once = probe(there)
    assert (once.state, once.failures, once.reason) == (Pulse.UNKNOWN, 1, "refused")
    assert once.next_at < timezone.now() + timedelta(seconds=settings.PROBE_INTERVAL_S / 4)
    assert probe(there).state == Pulse.DOWN
    Connection.objects.filter(pk=there.pk).update(base_url=upstream.base_url)
    upstream.keys = {""}
    assert probe(there).state == Pulse.UP
    assert changes(there) == [("unknown", "down", "refused"), ("down", "up", "probe")]
    day = ProbeDay.objects.get(connection=there)
    assert (day.succeeded, day.failed) == (1, 2)


def test_live_traffic_is_proof_and_nothing_is_sent(there, upstream):
    live_traffic(there)
    pulse = probe(there)
    assert asked(upstream) == []
    assert (pulse.state, pulse.proof) == (Pulse.UP, "traffic")


@pytest.mark.parametrize(
    "fields", [{"status": 502}, {"cache": "HIT"}, {"seconds_ago": 300}], ids=["failed", "cached", "long ago"]
)
def test_what_was_not_answered_by_it_lately_is_no_proof(there, upstream, fields):
    live_traffic(there, **fields)
    probe(there)
    assert asked(upstream) == ["/v1/models"]


def test_a_model_in_doubt_is_asked_for_a_token_and_closes_when_it_answers(there, upstream):
    upstream.fail("500", "good")
    opened(there)
    probe(there)
    assert asked(upstream) == ["/v1/models", "/v1/chat/completions"]
    assert BreakerState.objects.get().state == "open"
    upstream.heal("good")
    assert probe(there).state == Pulse.UP
    assert BreakerState.objects.get().state == "closed"
    told = HealthChange.objects.filter(target_id=served(there).pk).order_by("pk")
    assert [*told.values_list("after", "reason")] == [("open", "server_error"), ("closed", "probe")]


def test_traffic_does_not_spare_a_model_in_doubt(there, upstream):
    live_traffic(there)
    opened(there)
    probe(there)
    assert "/v1/chat/completions" in asked(upstream)


def test_a_refused_key_is_parked_and_the_connection_counts_as_alive(there, upstream):
    upstream.keys = set()
    assert probe(there).state == Pulse.UP
    assert there.keys.get().state == ConnectionKey.PARKED


def test_who_has_no_key_left_is_not_asked(there, upstream):
    ConnectionKey.objects.update(state=ConnectionKey.PARKED)
    probe(there)
    assert asked(upstream) == []


def test_a_disabled_connection_is_left_alone(there, upstream):
    Connection.objects.filter(pk=there.pk).update(enabled=False)
    assert pulses.probe_due() == 0


def test_what_the_guard_does_not_dial_is_down_and_nothing_is_sent(there, settings):
    settings.EGRESS_ALLOW = ""
    assert probe(there, times=2).state == Pulse.DOWN


def test_a_claim_that_ran_out_writes_nothing(there):
    [claim] = pulses._claim_due()
    Pulse.objects.filter(connection=there).update(next_at=timezone.now() + timedelta(hours=1))
    pulses.record(claim, pulses.ask(claim.question))
    assert not ProbeDay.objects.exists()
    assert Pulse.objects.get().state == Pulse.UNKNOWN


def test_history_is_kept_for_as_long_as_is_set(there, settings):
    settings.HEALTH_HISTORY_DAYS = 7
    probe(there)
    HealthChange.objects.update(at=timezone.now() - timedelta(days=8))
    opened(there)
    forget_old_health()
    assert HealthChange.objects.get().after == "open"


@pytest.mark.django_db(transaction=True)
def test_of_several_probers_at_once_one_asks(connect, upstream):
    enlisted(connect(base_url=upstream.base_url, models=[{"id": "good"}]))
    together, counts = Barrier(4), []

    def run() -> None:
        try:
            together.wait()
            counts.append(pulses.probe_due())
        finally:
            database.close()

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 0, 0, 1]
    assert asked(upstream) == ["/v1/models"]
    assert KEY in str(upstream.log.last.headers)


@pytest.mark.parametrize("interval_s", [10.0, 30.0, 60.0, 300.0])
def test_an_outage_is_told_within_two_intervals_at_the_worst(settings, interval_s):
    """The last proof a moment before the end, a server that accepts and says nothing, and beat as late as can be."""
    settings.PROBE_INTERVAL_S = interval_s
    tick_s, patience_s = interval_s / 8, pulses.patience().read_s
    first, second = tick_s + patience_s, interval_s * pulses.ASKED_AGAIN_AFTER + tick_s + patience_s
    assert interval_s + first + second <= 2 * interval_s
