"""Records that were set aside, and their way back once the cause is gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from metering.journal import Journal
from metering.models import Usage
from metering.rejected import REPLAYING_SUFFIX, find_rejected, replay
from tests.metering.conftest import StartRecorder, eventually
from tests.metering.records import usage_record

CURSED = "cursed"


@contextmanager
def curse() -> Iterator[None]:
    """PostgreSQL refuses records of one model."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE metering_usage ADD CONSTRAINT no_curse CHECK (model <> '{CURSED}')")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE metering_usage DROP CONSTRAINT no_curse")


@pytest.fixture
def set_aside(tmp_path: Path, start_recorder: StartRecorder, settings) -> Callable[[int], Path]:
    """Lets a process that ended have set so many records aside."""
    settings.JOURNAL_DIR = tmp_path / "journal"

    def set_aside(count: int) -> Path:
        journal = Journal(settings.JOURNAL_DIR)
        recorder = start_recorder(journal)
        for number in range(count):
            journal.append(usage_record(f"req_{number}", model=CURSED))
        journal.append(usage_record("req_fine"))
        recorder.stop(timeout_s=10)
        journal.close()
        (rejected,) = settings.JOURNAL_DIR.glob("*.rejected")
        return rejected

    return set_aside


def run(**options: object) -> str:
    told = StringIO()
    call_command("replay_rejected", stdout=told, **options)
    return told.getvalue()


def recorded() -> list[str]:
    return sorted(Usage.objects.values_list("request_id", flat=True))


def test_once_the_cause_is_gone_they_are_recorded(set_aside, journal, start_recorder):
    with curse():
        rejected = set_aside(3)
    assert recorded() == ["req_fine"]
    start_recorder(journal)
    assert "Recorded: 3 of 3." in run()
    assert recorded() == ["req_0", "req_1", "req_2", "req_fine"]
    assert not rejected.exists()
    assert find_rejected(rejected.parent) == []


def test_what_still_cannot_be_is_set_aside_again_whole(set_aside, journal, start_recorder):
    with curse():
        rejected = set_aside(2)
        before = find_rejected(rejected.parent)[0].lines
        start_recorder(journal)
        with pytest.raises(CommandError, match="2 records were set aside again"):
            run()
    [again] = find_rejected(rejected.parent)
    assert (again.path, again.lines) == (rejected, before)
    assert "Recorded: 2 of 2." in run()


def test_a_look_changes_nothing_and_tells_why(set_aside):
    with curse():
        rejected = set_aside(2)
    before = rejected.read_bytes()
    told = run(dry_run=True)
    assert f"{rejected}: 2 records" in told
    assert "2 × CheckViolation" in told
    assert rejected.read_bytes() == before


def test_with_no_gateway_here_they_wait_in_the_journal(set_aside, journal, start_recorder):
    with curse():
        set_aside(1)
    with pytest.raises(CommandError, match="wait for a gateway"):
        run(wait_s=0.05)
    start_recorder(journal)
    eventually(lambda: "req_0" in recorded())


def test_a_file_that_may_still_grow_is_left(set_aside):
    with curse():
        rejected = set_aside(1)
    rejected.with_suffix(".journal").touch()
    told = run(wait_s=0)
    assert "still in use" in told
    assert rejected.exists()


def test_an_interrupted_replay_is_taken_up(set_aside, journal, start_recorder):
    with curse():
        rejected = set_aside(2)
    rejected.rename(rejected.with_suffix(REPLAYING_SUFFIX))
    start_recorder(journal)
    assert "Recorded: 2 of 2." in run()


def test_a_line_set_aside_twice_is_replayed_once(tmp_path):
    line = msgspec.json.encode(usage_record()).decode()
    path = tmp_path / "1-dead-000000.rejected"
    entries = [{"line": line, "reason": "first"}, {"line": line, "reason": "second"}]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    [rejected] = find_rejected(tmp_path)
    assert replay(rejected).read_text() == line + "\n"


def test_nothing_to_do(settings, tmp_path):
    settings.JOURNAL_DIR = tmp_path
    assert run() == "Nothing was set aside.\nRecorded: 0 of 0.\n"
