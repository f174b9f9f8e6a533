"""Streams that go on for long: what is recorded of them when their process dies, and nothing while it lives."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering import segments, wiring
from metering.journal import Journal, JournalFull
from metering.models import DirtyBucket, Usage
from metering.recorder import Recorder
from metering.usage import CHECKPOINT, UsageRecord
from tests.metering.conftest import StartRecorder, eventually
from tests.metering.records import usage_record

INTERRUPTED = "interrupted_delivered"
TINY_FILES = {"rotate_bytes": 1}


def checkpoint(request_id: str, tokens: int) -> UsageRecord:
    return usage_record(request_id, output_tokens=tokens, billing_reason=INTERRUPTED, finish_reason="")


def final(request_id: str, tokens: int) -> UsageRecord:
    return usage_record(request_id, output_tokens=tokens, billing_reason="completed")


def lines(*records: UsageRecord) -> bytes:
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def marked(record: UsageRecord) -> UsageRecord:
    return msgspec.structs.replace(record, kind=CHECKPOINT)


def left_behind(directory: Path, sequence: int, *records: UsageRecord, writer: str = "1-dead") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{writer}-{sequence:06d}.journal"
    path.write_bytes(lines(*records))
    return path


def recorded() -> dict[str, tuple[int, str]]:
    rows = Usage.objects.values_list("request_id", "output_tokens", "billing_reason")
    return {request_id: (tokens, reason) for request_id, tokens, reason in rows}


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def die(journal: Journal) -> None:
    """Leaves what a killed process leaves: its files, and no lock on them."""
    for segment in journal.segments():
        segment.release()
    journal._sealed.clear()


def test_the_final_record_supersedes_its_checkpoints(journal: Journal, start_recorder: StartRecorder) -> None:
    for tokens in (10, 20):
        assert journal.checkpoint(checkpoint("req_1", tokens))
    journal.append(final("req_1", 25))
    recorder = start_recorder(journal)
    assert recorder.stop(timeout_s=10)
    assert recorded() == {"req_1": (25, "completed")}
    assert recorder.stats.recorded == 1
    journal.close()
    assert files(journal.directory) == []


def test_of_a_request_that_goes_on_nothing_is_recorded(journal: Journal, start_recorder: StartRecorder) -> None:
    journal.checkpoint(checkpoint("req_long", 10))
    journal.append(final("req_short", 5))
    recorder = start_recorder(journal)
    assert recorder.stop(timeout_s=10)
    assert recorded() == {"req_short": (5, "completed")}
    assert DirtyBucket.objects.count() == 1


def test_when_the_process_died_what_was_last_heard_is_recorded(
    journal: Journal, start_recorder: StartRecorder
) -> None:
    path = left_behind(
        journal.directory, 0, *map(marked, [checkpoint("req_1", 10), checkpoint("req_2", 3), checkpoint("req_1", 20)])
    )
    start_recorder(journal)
    eventually(lambda: not path.exists())
    assert recorded() == {"req_1": (20, INTERRUPTED), "req_2": (3, INTERRUPTED)}


def test_settlement_hears_of_it_once_and_as_of_any_record(journal: Journal, start_recorder: StartRecorder) -> None:
    heard: list[UsageRecord] = []
    path = left_behind(journal.directory, 0, marked(checkpoint("req_1", 10)), marked(checkpoint("req_1", 20)))
    start_recorder(journal, lambda cursor, records: heard.extend(records))
    eventually(lambda: not path.exists())
    assert heard == [checkpoint("req_1", 20)]


def test_a_checkpoint_whose_final_is_in_a_later_file_is_none(journal: Journal, start_recorder: StartRecorder) -> None:
    left_behind(journal.directory, 0, marked(checkpoint("req_1", 10)))
    later = left_behind(journal.directory, 1, final("req_1", 25))
    start_recorder(journal)
    eventually(lambda: len(files(journal.directory)) == 1)
    assert not later.exists()
    assert recorded() == {"req_1": (25, "completed")}


def test_the_newest_of_several_files_counts_in_whatever_order_they_are_read(
    journal: Journal, start_recorder: StartRecorder
) -> None:
    left_behind(journal.directory, 1, marked(checkpoint("req_1", 20)))
    left_behind(journal.directory, 0, marked(checkpoint("req_1", 10)))  # looks younger, and is read last
    start_recorder(journal)
    eventually(lambda: len(files(journal.directory)) == 1)
    assert recorded() == {"req_1": (20, INTERRUPTED)}


@pytest.mark.parametrize("ending", [final("req_1", 25), marked(checkpoint("req_1", 20))], ids=["final", "checkpoint"])
def test_it_waits_for_a_later_file_that_another_recorder_holds(
    journal: Journal, start_recorder: StartRecorder, ending: UsageRecord
) -> None:
    earlier = left_behind(journal.directory, 0, marked(checkpoint("req_1", 10)), final("req_0", 1))
    later = left_behind(journal.directory, 1, ending)
    held = segments.adopt(later)
    assert held is not None
    start_recorder(journal)
    eventually(lambda: "req_0" in recorded())
    assert "req_1" not in recorded()
    assert earlier.exists()
    held.release()
    eventually(lambda: not earlier.exists() and not later.exists())
    assert recorded()["req_1"] == (ending.output_tokens, ending.billing_reason)


def test_a_file_of_another_process_is_not_waited_for(journal: Journal, start_recorder: StartRecorder) -> None:
    path = left_behind(journal.directory, 0, marked(checkpoint("req_1", 10)))
    held = segments.adopt(left_behind(journal.directory, 7, final("req_2", 1), writer="2-other"))
    assert held is not None
    start_recorder(journal)
    eventually(lambda: not path.exists())
    assert recorded() == {"req_1": (10, INTERRUPTED)}
    held.release()


def test_a_shipped_file_stays_while_it_holds_the_newest_checkpoint(
    tmp_path: Path, start_recorder: StartRecorder
) -> None:
    journal = Journal(tmp_path / "journal", **TINY_FILES)
    journal.checkpoint(checkpoint("req_1", 10))
    [first] = [segment.path for segment in journal.segments() if segment.sealed]
    journal.append(final("req_2", 1))
    recorder = start_recorder(journal)
    eventually(lambda: len(files(journal.directory)) == 2)  # the second was shipped and discarded
    assert first.exists()
    journal.checkpoint(checkpoint("req_1", 20))
    eventually(lambda: not first.exists())
    journal.append(final("req_1", 25))
    eventually(lambda: len(files(journal.directory)) == 1)
    recorder.stop(timeout_s=10)
    journal.close()
    assert recorded() == {"req_1": (25, "completed"), "req_2": (1, "completed")}


def test_a_process_that_ends_in_order_leaves_what_it_did_not_finish(
    journal: Journal, start_recorder: StartRecorder
) -> None:
    journal.checkpoint(checkpoint("req_1", 10))
    start_recorder(journal).stop(timeout_s=10)
    journal.close()
    assert len(files(journal.directory)) == 1
    start_recorder(Journal(journal.directory))
    eventually(lambda: recorded() == {"req_1": (10, INTERRUPTED)})


def test_a_line_torn_in_a_checkpoint_leaves_the_one_before(journal: Journal, start_recorder: StartRecorder) -> None:
    path = left_behind(journal.directory, 0, marked(checkpoint("req_1", 10)))
    path.write_bytes(path.read_bytes() + lines(marked(checkpoint("req_1", 20)))[:40])
    start_recorder(journal)
    eventually(lambda: not path.exists())
    assert recorded() == {"req_1": (10, INTERRUPTED)}


def test_one_that_cannot_be_recorded_is_set_aside(journal: Journal, start_recorder: StartRecorder) -> None:
    path = left_behind(journal.directory, 0, marked(checkpoint("req_1", 10**30)), marked(checkpoint("req_2", 1)))
    start_recorder(journal)
    eventually(lambda: not path.exists())
    assert recorded() == {"req_2": (1, INTERRUPTED)}
    assert "req_1" in path.with_suffix(".rejected").read_text()


def test_a_line_of_a_kind_that_is_not_known_is_set_aside(journal: Journal, start_recorder: StartRecorder) -> None:
    path = left_behind(journal.directory, 0)
    path.write_bytes(lines(usage_record()).replace(b"{", b'{"kind":"omen",', 1))
    start_recorder(journal)
    eventually(lambda: not path.exists())
    assert recorded() == {}
    assert path.with_suffix(".rejected").exists()


def test_a_full_journal_takes_none_and_ends_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", capacity_bytes=10, headroom_bytes=0)
    assert journal.checkpoint(checkpoint("req_1", 10))
    assert not journal.checkpoint(checkpoint("req_1", 20))
    with pytest.raises(JournalFull):
        journal.append(final("req_1", 25))


def test_a_killed_process(tmp_path: Path, start_recorder: StartRecorder) -> None:
    directory = tmp_path / "journal"
    command = [sys.executable, "-m", "tests.metering.checkpointing", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    last = int([line for line in told if line.endswith("\n")][-1])
    start_recorder(Journal(directory))
    eventually(lambda: "req_stream" in recorded())
    tokens, reason = recorded()["req_stream"]
    assert tokens in (last, last + 1)  # killed between the writing and the telling
    assert reason == INTERRUPTED


EVENTS = st.lists(st.tuples(st.sampled_from(["checkpoint", "final", "ship"]), st.integers(0, 2)), max_size=25)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, shuffled=st.randoms(use_true_random=False))
def test_whatever_happened_each_request_is_recorded_once_as_it_was_last_heard_of(
    usage: None, tmp_path: Path, events: list[tuple[str, int]], shuffled: random.Random
) -> None:
    """Each line in a file of its own; its process ships at some moments, and dies; two others adopt what is left."""
    Usage.objects.all().delete()
    directory = tmp_path / uuid4().hex
    journal = Journal(directory, **TINY_FILES)
    recorder = Recorder(journal, wiring.conninfo())
    expected: dict[str, tuple[int, str]] = {}
    for tokens, (event, number) in enumerate(events):
        request_id = f"req_{number}"
        is_over = expected.get(request_id, (0, ""))[1] == "completed"
        if event == "ship":
            recorder._ship_all()
        elif event == "final" and not is_over:
            journal.append(final(request_id, tokens))
            expected[request_id] = (tokens, "completed")
        elif event == "checkpoint" and not is_over:
            journal.checkpoint(checkpoint(request_id, tokens))
            expected[request_id] = (tokens, INTERRUPTED)
    die(journal)
    heirs = [Recorder(Journal(directory), wiring.conninfo()) for _ in range(2)]
    for path in sorted(directory.glob("*.journal"), key=lambda _: shuffled.random()):
        segment = segments.adopt(path)
        if segment is not None:
            shuffled.choice(heirs)._adopted.append(segment)
    for _ in range(len(events) + 1):
        shuffled.choice(heirs)._ship_all()
    for heir in heirs * (len(events) + 1):
        heir._ship_all()
    assert recorded() == expected
    assert len(files(directory)) == 2  # the heirs' own
    for each in (recorder, *heirs):
        each._disconnect()
        each._journal.close()
