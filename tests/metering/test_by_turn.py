"""Records of a turn are on the disk before its answers leave, and nothing that was taken is lost without a word."""

from __future__ import annotations

import asyncio
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from common.together import of_running_loop
from metering.by_turn import ByTurn
from metering.journal import Journal, JournalFull
from tests.metering.records import usage_record
from tests.metering.test_journal import PROJECT, ids_of, lines_of

ANSWERS = """
import asyncio, itertools, socket, sys
from pathlib import Path
import uvloop
from common.together import of_running_loop
from metering.by_turn import ByTurn
from metering.journal import Journal
from tests.metering.records import usage_record

async def answer_for_ever():
    loop, writes = asyncio.get_running_loop(), of_running_loop()
    by_turn = ByTurn(Journal(Path(sys.argv[1]), rotate_bytes=64 * 1024), writes)
    caller, _ = await loop.create_connection(asyncio.Protocol, sock=socket.socket(fileno=int(sys.argv[2])))
    for turn in itertools.count():
        for one in range(3):
            by_turn.append(usage_record(f"req_{turn}_{one}"))
            writes.write(caller, b"req_%d_%d\\n" % (turn, one))
        await asyncio.sleep(0)

uvloop.run(answer_for_ever())
"""


@pytest.fixture
def refuse_files() -> Iterator[Callable[[int | None], None]]:
    """What the kernel does beyond a file's permitted size is what a full disk does: part of a write, then nothing."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def beyond(size_bytes: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before if size_bytes is None else (size_bytes, before[1]))

    yield beyond
    beyond(None)
    signal.signal(signal.SIGXFSZ, handler)


def test_what_waits_is_written_in_its_order_and_at_once(journal: Journal) -> None:
    assert [journal.append_soon(usage_record(f"req_{number}")) for number in range(3)] == [True, False, False]
    assert lines_of(journal.directory) == []
    assert not journal.news.is_set()
    journal.write_waiting()
    assert ids_of(lines_of(journal.directory)) == ["req_0", "req_1", "req_2"]
    assert journal.news.is_set()
    assert journal.append_soon(usage_record("req_3"))


def test_what_may_not_wait_takes_along_what_waits(journal: Journal) -> None:
    journal.append_soon(usage_record("req_0"))
    journal.append(usage_record("req_1"))
    journal.write_waiting()
    assert ids_of(lines_of(journal.directory)) == ["req_0", "req_1"]


def test_odd_text_waits_as_well(journal: Journal) -> None:
    journal.append_soon(usage_record("req_0", model="half a pair: \ud800"))
    journal.write_waiting()
    assert ids_of(lines_of(journal.directory)) == ["req_0"]


def test_what_waits_counts_for_the_limit(tmp_path: Path) -> None:
    journal = Journal(tmp_path, capacity_bytes=10_000, headroom_bytes=5_000)
    while not journal.is_full:
        journal.append_soon(usage_record("req_early"))
    assert 5_000 <= journal.pending_bytes < 6_000
    with pytest.raises(JournalFull):
        deque(map(journal.append_soon, [usage_record("req_late")] * 100))
    assert 10_000 <= journal.pending_bytes < 11_000
    journal.close()
    assert 10_000 <= sum(len(line) + 1 for line in lines_of(tmp_path)) < 11_000


def test_what_waits_has_a_place_and_is_not_shipped(journal: Journal) -> None:
    journal.append(usage_record("req_0"))
    (segment,) = journal.segments()
    journal.ship(segment, len(segment.read()))
    before = journal.place
    journal.append_soon(usage_record("req_1"))
    place = journal.place
    assert journal.has_shipped(before)
    assert not journal.has_shipped(place)
    assert journal.unshipped_bytes == place - before
    journal.write_waiting()
    assert journal.place == place
    journal.ship(segment, len(segment.read()))
    assert journal.has_shipped(place)


def test_a_disk_that_refuses_takes_nothing_or_all(journal: Journal, refuse_files) -> None:
    journal.append(usage_record("req_0"))
    size_bytes = journal.place
    for number in (1, 2):
        journal.append_soon(usage_record(f"req_{number}"))
    refuse_files(size_bytes * 2)  # room for one of the two
    for _ in range(2):
        with pytest.raises(JournalFull):
            journal.write_waiting()
    with pytest.raises(JournalFull):
        journal.append(usage_record("req_refused"))
    assert ids_of(lines_of(journal.directory)) == ["req_0"]
    assert journal.is_full
    refuse_files(None)
    journal.write_waiting()
    assert ids_of(lines_of(journal.directory)) == ["req_0", "req_1", "req_2"]


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append_soon(usage_record("req_0"))
    journal.close()
    assert ids_of(lines_of(tmp_path)) == ["req_0"]


def test_what_closing_cannot_write_is_told(tmp_path: Path, refuse_files, caplog) -> None:
    journal = Journal(tmp_path)
    for number in range(2):
        journal.append_soon(usage_record(f"req_{number}"))
    refuse_files(0)
    journal.close()
    assert "2 records are lost" in caplog.text


async def caller_of(end: socket.socket) -> asyncio.Transport:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=end)
    return transport


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    there.settimeout(10)
    yield here, there
    here.close()
    there.close()


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run])
def test_records_are_written_before_the_answers(journal: Journal, ends, monkeypatch, run) -> None:
    """Looked at in between: when the record is being written, nobody has heard anything."""
    here, there = ends
    heard_before: list[int] = []
    really = journal.write_waiting

    def write_waiting() -> None:
        assert select.select([there], [], [], 0) == ([], [], [])
        heard_before.append(len(lines_of(journal.directory)))
        really()

    monkeypatch.setattr(journal, "write_waiting", write_waiting)

    async def turn() -> None:
        caller, writes = await caller_of(here), of_running_loop()
        by_turn = ByTurn(journal, writes)
        for number in range(3):
            writes.write(caller, b"x")
            by_turn.append(usage_record(f"req_{number}"))
        await asyncio.sleep(0.01)
        assert there.recv(10) == b"xxx"

    run(turn())
    assert heard_before == [0]
    assert ids_of(lines_of(journal.directory)) == ["req_0", "req_1", "req_2"]


def test_a_record_without_an_answer_is_written_too(journal: Journal) -> None:
    async def turn() -> None:
        ByTurn(journal, of_running_loop()).append(usage_record("req_0"))
        await asyncio.sleep(0.01)

    uvloop.run(turn())
    assert ids_of(lines_of(journal.directory)) == ["req_0"]


def test_answers_leave_although_the_disk_refuses_and_records_follow(
    journal: Journal, ends, refuse_files, caplog
) -> None:
    here, there = ends

    async def turn() -> None:
        caller, writes = await caller_of(here), of_running_loop()
        by_turn = ByTurn(journal, writes)
        refuse_files(0)
        for number in range(2):
            by_turn.append(usage_record(f"req_{number}"))
            writes.write(caller, b"x")
            await asyncio.sleep(0.15)
        assert there.recv(10) == b"xx"
        assert journal.is_full
        assert lines_of(journal.directory) == []
        refuse_files(None)
        while len(lines_of(journal.directory)) < 2:
            await asyncio.sleep(0.01)

    async def in_time() -> None:
        await asyncio.wait_for(turn(), 30)

    uvloop.run(in_time())
    assert ids_of(lines_of(journal.directory)) == ["req_0", "req_1"]
    assert caplog.text.count("records wait in memory") == 1


def test_at_the_limit_a_request_hears_of_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, capacity_bytes=500, headroom_bytes=0)

    async def turn() -> None:
        by_turn = ByTurn(journal, of_running_loop())
        by_turn.append(usage_record("req_0"))
        with pytest.raises(JournalFull):
            by_turn.append(usage_record("req_1"))
        await asyncio.sleep(0.01)

    uvloop.run(turn())
    journal.close()
    assert ids_of(lines_of(tmp_path)) == ["req_0"]


def test_who_has_an_answer_is_recorded_whatever_becomes_of_the_process(tmp_path: Path, ends) -> None:
    here, there = ends
    command = [sys.executable, "-c", ANSWERS, str(tmp_path), str(here.fileno())]
    process = subprocess.Popen(command, cwd=PROJECT, pass_fds=[here.fileno()])
    here.close()
    heard = b""
    try:
        there.settimeout(30)
        while heard.count(b"\n") < 3_000:
            heard += there.recv(1 << 16)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    while part := there.recv(1 << 16):
        heard += part
    answered = heard.decode().split("\n")[:-1]
    recorded = ids_of(lines_of(tmp_path))
    assert len(answered) >= 3_000
    assert recorded[: len(answered)] == answered
