from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connection, transaction

from accounts.models import Organization
from metering import wiring
from metering.ingest import BatchHook, insert
from metering.journal import Journal
from metering.recorder import Recorder
from metering.usage import UsageRecord
from tests.emptying import empty
from tests.metering.outage import Wire


@pytest.fixture
def usage(transactional_db: None) -> Iterator[None]:
    """The usage table, empty before and after: Django does not flush what it does not manage."""
    empty("metering_usage")
    yield
    empty("metering_usage")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


StartRecorder = Callable[..., Recorder]


@pytest.fixture
def start_recorder(usage: None) -> Iterator[StartRecorder]:
    """Starts recorders that look for work at once, and ends them with the test."""
    started: list[Recorder] = []

    def start(journal: Journal, *hooks: BatchHook, conninfo: str | None = None, **others: Any) -> Recorder:
        hasty = {"ship_every_s": 0.02, "look_around_every_s": 0.05}
        recorder = Recorder(journal, conninfo or wiring.conninfo(), on_batch=hooks, **hasty, **others)
        recorder.start()
        started.append(recorder)
        return recorder

    yield start
    for recorder in started:
        recorder.stop(timeout_s=0)


@pytest.fixture
def wire() -> Iterator[Wire]:
    database = connection.settings_dict
    port = int(database["PORT"] or 5432)
    host = database["HOST"] or "/tmp"
    wire = Wire(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port))
    yield wire
    wire.close()


@pytest.fixture
def org(transactional_db: None) -> Organization:
    return Organization.objects.create(public_id="org_acme", name="Acme", slug="acme")


def eventually(condition: Callable[[], bool], within_s: float = 30) -> None:
    """Returns when `condition()` is true; fails the test when it does not become so."""
    give_up_at_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at_s, "it did not happen"
        time.sleep(0.01)


def record_directly(*records: UsageRecord) -> None:
    """As the recorder does it, in a transaction of its own, through Django's connection."""
    with transaction.atomic(), connection.cursor() as cursor:
        insert(cursor.cursor, [msgspec.json.encode(record) for record in records], records, ())
