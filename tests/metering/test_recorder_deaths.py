"""Processes and servers die in the middle of their work: nothing is lost, nothing counts twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path

import psycopg
import pytest

from console.embedded.postgres import postgres
from metering import copying, wiring
from metering.journal import Journal
from metering.models import Usage
from metering.recorder import Recorder
from tests.metering.conftest import StartRecorder, eventually
from tests.metering.records import usage_record

PROJECT = Path(__file__).resolve().parents[2]
NAMES = ("a", "b", "c")
LINES_EACH = 3_400


def writer(directory: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.metering.records", str(directory), *arguments]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)


def said_before_killed(writers: dict[str, subprocess.Popen[bytes]]) -> dict[str, int]:
    """Reads LINES_EACH from each while all are writing, kills them, and tells how many records each claimed."""
    outputs = {name: process.stdout for name, process in writers.items() if process.stdout is not None}
    for _ in range(LINES_EACH):
        for output in outputs.values():
            output.readline()
    for process in writers.values():
        process.kill()
    rest = {name: sum(line.endswith(b"\n") for line in output) for name, output in outputs.items()}
    assert [process.wait() for process in writers.values()] == [-signal.SIGKILL] * len(writers)
    return {name: LINES_EACH + count for name, count in rest.items()}


@pytest.mark.parametrize("ships", [False, True], ids=["writing", "writing and shipping"])
def test_killed_workers_lose_nothing_and_repeat_nothing(
    ships: bool, tmp_path: Path, start_recorder: StartRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "AT_LEAST", 1)
    journal = Journal(tmp_path)
    recorder = start_recorder(journal)
    conninfo = [wiring.conninfo()] if ships else []
    said = said_before_killed({name: writer(tmp_path, name, *conninfo) for name in NAMES})
    eventually(lambda: {*tmp_path.glob("*.journal")} == journal.own_paths(), within_s=60)
    assert recorder.stats.failures_in_a_row == 0
    ids = Counter(Usage.objects.values_list("request_id", flat=True))
    assert set(ids.values()) == {1}
    for name, count in said.items():
        claimed = {f"{name}-{number}" for number in range(count)}
        mine = {request_id for request_id in ids if request_id.startswith(name)}
        # It may have died after it appended one and before it said so.
        assert mine in (claimed, claimed | {f"{name}-{count}"})
    journal.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """PostgreSQL's own user passes through when root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="shareai-tests-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def make_tables(connection: psycopg.Connection) -> None:
    connection.execute(import_module("metering.migrations.0002_usage_table").CREATE)
    connection.execute(import_module("metering.migrations.0005_usage_tells_of_the_cache").ADD)
    connection.execute(import_module("metering.migrations.0008_usage_knows_its_prompt").ADD)
    connection.execute(import_module("metering.migrations.0013_token_details").ADD)
    connection.execute("CREATE TABLE metering_dirtybucket (org_id bigint NOT NULL, hour timestamptz NOT NULL)")


def test_postgresql_is_stopped_killed_and_started(open_folder: Path) -> None:
    journal = Journal(open_folder / "journal")
    numbers = iter(range(10_000))

    def append(count: int) -> None:
        for number in islice(numbers, count):
            journal.append(usage_record(f"req_{number}"))

    with postgres(open_folder / "postgres") as engine, psycopg.connect(engine.url) as connection:
        make_tables(connection)
    recorder = Recorder(journal, engine.url, ship_every_s=0.01)
    recorder.start()
    for how in (signal.SIGINT, signal.SIGKILL, signal.SIGINT):
        append(100)
        eventually(lambda: recorder.stats.failures_in_a_row > 0)
        before = recorder.stats.recorded
        with postgres(open_folder / "postgres") as engine:
            append(500)
            eventually(partial(has_recorded_more_than, recorder, before))
            append(500)
            engine.process.send_signal(how)
            engine.process.wait()
    with postgres(open_folder / "postgres") as engine, psycopg.connect(engine.url) as connection:
        assert recorder.stop(timeout_s=30)
        rows = connection.execute("SELECT count(*), count(DISTINCT request_id) FROM metering_usage").fetchone()
    assert rows == (3_300, 3_300)
    journal.close()


def has_recorded_more_than(recorder: Recorder, count: int) -> bool:
    return recorder.stats.recorded > count
