"""From the journal into PostgreSQL: each record exactly once, whatever breaks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from metering import columns, copying, segments, wiring
from metering.journal import Journal
from metering.models import DirtyBucket, Usage
from metering.usage import UsageRecord
from tests.metering.conftest import StartRecorder, eventually
from tests.metering.outage import Wire
from tests.metering.records import NOON, usage_record

COLUMNS = [column.name for column in columns.COLUMNS]


@pytest.fixture(autouse=True, params=[1, copying.AT_LEAST], ids=["copied", "inserted"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "AT_LEAST", request.param)


def recorded_ids() -> list[str]:
    return sorted(Usage.objects.values_list("request_id", flat=True))


def orphan(directory: Path, *lines: bytes, name: str = "1-dead-000000") -> Path:
    """What a process that died leaves behind: a file that nobody holds locked."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.journal"
    path.write_bytes(b"".join(lines))
    return path


def line(record: UsageRecord) -> bytes:
    return msgspec.json.encode(record) + b"\n"


def test_keeps_every_column(journal: Journal, start_recorder: StartRecorder) -> None:
    attempt = msgspec.structs.replace(usage_record().attempts[0], detail='said "no"\t\\N')
    record = usage_record(
        "req_1", metadata={"team": "ไทย", "tab\t": "\\"}, sdk_retry=2, error_code="upstream_timeout", key_id=None,
        user_agent='a"b\\N\r\n', model="\\N", attempts=(attempt,),
    )  # fmt: skip
    journal.append(record)
    assert start_recorder(journal).stop(timeout_s=10)
    row = Usage.objects.get()
    stored = {name: getattr(row, name) for name in COLUMNS}
    assert stored.pop("started_at") == NOON
    assert msgspec.convert(stored | {"started_at": record.started_at}, UsageRecord) == record


def test_a_record_of_defaults_keeps_its_defaults(journal: Journal, start_recorder: StartRecorder) -> None:
    record = UsageRecord(
        request_id="req_1",
        started_at=NOON.isoformat(),
        org_id=1,
        key_id=None,
        user_id=None,
        endpoint="embeddings",
        model="m",
        status=404,
        usage_source="none",
        billing_reason="error",
    )
    journal.append(record)
    assert start_recorder(journal).stop(timeout_s=10)
    row = Usage.objects.get()
    stored = {name: getattr(row, name) for name in COLUMNS}
    assert msgspec.convert(stored | {"started_at": record.started_at}, UsageRecord) == record


def test_marks_each_hour_of_each_organisation(journal: Journal, start_recorder: StartRecorder) -> None:
    for number, (org_id, moment) in enumerate(
        [(1, "12:00:00+00:00"), (1, "12:59:59.999+00:00"), (1, "13:00:00+00:00"), (2, "12:30:00+00:00")]
    ):
        journal.append(usage_record(f"req_{number}", org_id=org_id, started_at=f"2026-11-22T{moment}"))
    assert start_recorder(journal).stop(timeout_s=10)
    marks = {(mark.org_id, mark.hour.hour) for mark in DirtyBucket.objects.all()}
    assert marks == {(1, 12), (1, 13), (2, 12)}


def test_stop_ships_what_is_left_and_close_leaves_no_file(journal: Journal, start_recorder: StartRecorder) -> None:
    recorder = start_recorder(journal)
    for number in range(2_000):
        journal.append(usage_record(f"req_{number}"))
    assert recorder.stop(timeout_s=20)
    assert Usage.objects.count() == 2_000
    journal.close()
    assert list(journal.directory.iterdir()) == []


def test_rotated_files_are_deleted_once_shipped(tmp_path: Path, start_recorder: StartRecorder) -> None:
    journal = Journal(tmp_path, rotate_bytes=2_000)
    for number in range(50):
        journal.append(usage_record(f"req_{number}"))
    assert len(list(tmp_path.glob("*.journal"))) > 5
    start_recorder(journal)
    eventually(lambda: len(list(tmp_path.glob("*.journal"))) == 1)
    assert Usage.objects.count() == 50


def test_replaying_changes_nothing(journal: Journal, start_recorder: StartRecorder) -> None:
    lines = [line(usage_record(f"req_{number}")) for number in range(20)]
    handed: list[str] = []

    def note(cursor: psycopg.Cursor, records: Sequence[UsageRecord]) -> None:
        handed.extend(record.request_id for record in records)

    start_recorder(journal, note)
    for name in ("1-dead-000000", "2-dead-000000"):
        path = orphan(journal.directory, *lines, name=name)
        eventually(lambda path=path: not path.exists())
    assert recorded_ids() == sorted(f"req_{number}" for number in range(20))
    assert Counter(handed) == Counter(f"req_{number}" for number in range(20))


def test_a_batch_of_which_some_is_recorded_adds_the_rest(journal: Journal, start_recorder: StartRecorder) -> None:
    lines = [line(usage_record(f"req_{number:03}")) for number in range(copying.AT_ONCE + 9)]
    handed: list[str] = []

    def note(cursor: psycopg.Cursor, records: Sequence[UsageRecord]) -> None:
        handed.extend(record.request_id for record in records)

    recorder = start_recorder(journal, note)
    for name, some in {"1-dead-000000": lines[5:9], "2-dead-000000": [*lines, lines[0]]}.items():
        path = orphan(journal.directory, *some, name=name)
        eventually(lambda path=path: not path.exists())
    assert recorder.stats.recorded == len(lines)
    assert Counter(handed) == Counter(recorded_ids()) == Counter(f"req_{number:03}" for number in range(len(lines)))


def test_a_hook_is_part_of_the_transaction(journal: Journal, start_recorder: StartRecorder) -> None:
    calls: list[int] = []

    def fail_first(cursor: psycopg.Cursor, records: Sequence[UsageRecord]) -> None:
        calls.append(len(records))
        if len(calls) == 1:
            raise RuntimeError("billing is not ready")

    journal.append(usage_record("req_1"))
    recorder = start_recorder(journal, fail_first)
    eventually(lambda: recorder.stats.recorded == 1)
    assert calls == [1, 1]  # the first one was rolled back, else its record would not be new again
    assert recorder.stats.rejected == 0


def test_a_torn_last_line_is_set_aside(journal: Journal, start_recorder: StartRecorder) -> None:
    path = orphan(journal.directory, line(usage_record("req_1")), line(usage_record("req_2"))[:100])
    start_recorder(journal)
    eventually(lambda: not path.exists())
    assert recorded_ids() == ["req_1"]
    assert len(path.with_suffix(".rejected").read_text().splitlines()) == 1


def test_a_last_line_that_only_lacks_its_end_counts(journal: Journal, start_recorder: StartRecorder) -> None:
    path = orphan(journal.directory, line(usage_record("req_1"))[:-1])
    start_recorder(journal)
    eventually(lambda: not path.exists())
    assert recorded_ids() == ["req_1"]
    assert not path.with_suffix(".rejected").exists()


POISON = {
    "no JSON": b"\0\0\0\0\n",
    "wrong type": line(usage_record("bad")).replace(b'"org_id":1', b'"org_id":"one"'),
    "no date": line(usage_record("bad", started_at="yesterday-ish")),
    "endless": line(usage_record("bad", started_at="infinity")),
    "negative tokens": line(usage_record("bad", output_tokens=-1)),
    "negative cost": line(usage_record("bad", cost_nanos=-1)),
    "beyond bigint": line(usage_record("bad", cost_nanos=2**63)),
    "invalid UTF-8": line(usage_record("bad")).replace(b"demo/fast", b"demo/\xff"),
    "invalid UTF-8 in an unknown field": line(usage_record("bad"))[:-2] + b',"later":"\xff"}\n',
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_poison_is_set_aside_and_holds_up_nobody(
    poison: bytes, journal: Journal, start_recorder: StartRecorder
) -> None:
    good = [line(usage_record(f"req_{number}")) for number in range(9)]
    path = orphan(journal.directory, *good[:5], poison, *good[5:])
    recorder = start_recorder(journal)
    eventually(lambda: not path.exists())
    assert recorded_ids() == [f"req_{number}" for number in range(9)]
    (rejected,) = path.with_suffix(".rejected").read_text().splitlines()
    assert json.loads(rejected)["line"] == poison[:-1].decode(errors="backslashreplace")
    assert json.loads(rejected)["reason"]
    assert recorder.stats.rejected == 1


def test_hostile_text_does_not_escape_being_recorded(journal: Journal, start_recorder: StartRecorder) -> None:
    journal.append(usage_record("req_nul", model="a\0b", user_agent="\0"))
    journal.append(usage_record("req_long", model="ไ" * 5_000, user_agent="x" * 5_000, sdk_retry=10**9))
    journal.append(usage_record("req_lone", model="a\ud800b"))
    recorder = start_recorder(journal)
    assert recorder.stop(timeout_s=10)
    models = dict(Usage.objects.values_list("request_id", "model"))
    assert models == {"req_nul": "ab", "req_long": "ไ" * 200, "req_lone": "a?b"}


def test_waits_while_postgresql_is_away(journal: Journal, wire: Wire, start_recorder: StartRecorder) -> None:
    through_wire = make_conninfo(wiring.conninfo(), host="127.0.0.1", port=wire.port)
    recorder = start_recorder(journal, conninfo=through_wire)
    for number in range(300):
        journal.append(usage_record(f"req_{number:03}"))
        if number == 100:
            eventually(lambda: Usage.objects.count() > 0)
            wire.cut()
        if number == 200:
            eventually(lambda: recorder.stats.failures_in_a_row > 1)
            wire.mend()
    assert recorder.stop(timeout_s=20)
    assert recorded_ids() == [f"req_{number:03}" for number in range(300)]


def test_a_stop_without_postgresql_leaves_everything_to_the_next(
    journal: Journal, wire: Wire, start_recorder: StartRecorder
) -> None:
    wire.cut()
    journal.append(usage_record("req_1"))
    recorder = start_recorder(journal, conninfo=make_conninfo(wiring.conninfo(), host="127.0.0.1", port=wire.port))
    assert not recorder.stop(timeout_s=0.2)
    journal.close()
    next_journal = Journal(journal.directory)
    start_recorder(next_journal)
    eventually(lambda: recorded_ids() == ["req_1"])
    next_journal.close()


def test_a_dead_process_is_buried_although_postgresql_was_away_at_its_last_file(
    journal: Journal, start_recorder: StartRecorder
) -> None:
    """What it had leased would be nobody's for an hour."""
    kept, buried = [], []
    path = orphan(journal.directory, line(usage_record("req_1")))

    def bury(cursor: psycopg.Cursor, name: str) -> None:
        kept.append(path.exists())
        if len(kept) < 3:
            raise psycopg.OperationalError("the database system is shutting down")
        buried.append(name)

    start_recorder(journal, on_drained=bury)
    eventually(lambda: not path.exists())
    assert (kept, buried) == ([True, True, True], ["1-dead"])
    assert recorded_ids() == ["req_1"]


def test_of_two_who_have_a_file_each_the_later_one_buries(journal: Journal, start_recorder: StartRecorder) -> None:
    """Each sees the other's file when it looks; whoever deletes the last one of them notices."""
    buried: list[str] = []
    other = orphan(journal.directory, name="1-dead-000001")
    path = orphan(journal.directory, line(usage_record("req_1")), name="1-dead-000000")
    theirs = segments.adopt(other)
    assert theirs is not None
    discard = segments.Segment.discard

    def together(segment: segments.Segment) -> None:
        if segment.path == path:
            discard(theirs)
        discard(segment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments.Segment, "discard", together)
        start_recorder(journal, on_drained=lambda cursor, name: buried.append(name))
        eventually(lambda: not path.exists())
        eventually(lambda: buried == ["1-dead"])
