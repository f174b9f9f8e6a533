"""The journal keeps what it took, and says in time that it can take no more."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import deque
from pathlib import Path

import msgspec
import pytest

from metering import journal as journals
from metering import segments
from metering.journal import Journal, JournalFull
from metering.usage import UsageRecord
from tests.metering.records import usage_record

PROJECT = Path(__file__).resolve().parents[2]


def lines_of(directory: Path) -> list[bytes]:
    files = sorted(directory.glob("*.journal"))
    return [line for file in files for line in file.read_bytes().splitlines()]


def ids_of(lines: list[bytes]) -> list[str]:
    return [msgspec.json.decode(line, type=UsageRecord).request_id for line in lines]


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


def test_one_line_per_record_whatever_is_in_it(journal: Journal) -> None:
    records = [usage_record("req_1", model="a\nb\r\u2028c"), usage_record("req_2", metadata={"\n": '"'})]
    for record in records:
        journal.append(record)
    assert [msgspec.json.decode(line, type=UsageRecord) for line in lines_of(journal.directory)] == records


def test_rotation_loses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, rotate_bytes=1_500)
    for number in range(20):
        journal.append(usage_record(f"req_{number:02}"))
    assert ids_of(lines_of(tmp_path)) == [f"req_{number:02}" for number in range(20)]
    assert len([*tmp_path.glob("*.journal")]) > 3
    journal.sync()
    journal.close()


def test_after_a_sync_all_of_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: dict[int, int] = {}
    really = journals._data_sync

    def data_sync(fd: int) -> None:
        really(fd)
        synced[os.fstat(fd).st_ino] = os.fstat(fd).st_size

    monkeypatch.setattr(journals, "_data_sync", data_sync)
    journal = Journal(tmp_path, rotate_bytes=1_500)
    for number in range(20):
        journal.append(usage_record(f"req_{number:02}"))
    journal.sync()
    files = [file.stat() for file in tmp_path.glob("*.journal")]
    assert len(files) > 3
    assert synced == {file.st_ino: file.st_size for file in files}
    journal.close()


def test_says_full_before_it_refuses(tmp_path: Path) -> None:
    journal = Journal(tmp_path, capacity_bytes=10_000, headroom_bytes=5_000)
    assert not journal.is_full
    taken = 0
    while not journal.is_full:
        journal.append(usage_record(f"req_{taken}"))
        taken += 1
    journal.append(usage_record("in_flight"))
    with pytest.raises(JournalFull):
        deque(map(journal.append, [usage_record("in_flight")] * 100))
    assert 10_000 <= journal.pending_bytes < 11_000
    journal.close()


def test_shipping_makes_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path, capacity_bytes=1_000, headroom_bytes=0)
    journal.append(usage_record("req_1"))
    journal.append(usage_record("req_2"))
    with pytest.raises(JournalFull):
        journal.append(usage_record("req_3"))
    (segment,) = journal.segments()
    journal.ship(segment, len(segment.read()))
    assert not journal.is_full
    journal.append(usage_record("req_3"))
    journal.close()


def test_other_processes_files_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path, capacity_bytes=1_000, headroom_bytes=0)
    (tmp_path / "1-dead-000000.journal").write_bytes(b"x" * 2_000)
    journal.refresh()
    assert journal.is_full
    with pytest.raises(JournalFull):
        journal.append(usage_record())
    journal.close()


def test_a_disk_with_little_room_refuses_in_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path, disk_reserve_bytes=1 << 62)
    journal.refresh()
    assert journal.is_full
    journal.close()


def test_a_disk_that_takes_half_a_line_keeps_whole_lines_only(tmp_path: Path) -> None:
    """The kernel's limit on the size of a file acts as a full disk does: a part is written, then nothing."""
    output = run(
        """
        import resource, signal, sys
        from pathlib import Path
        from metering.journal import Journal, JournalFull
        from tests.metering.records import usage_record

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        journal = Journal(Path(sys.argv[1]))
        try:
            for number in range(100):
                journal.append(usage_record(f"req_{number}"))
        except JournalFull:
            print(number, journal.is_full)
        """,
        str(tmp_path),
    )
    refused, is_full = output.split()
    (file,) = tmp_path.glob("*.journal")
    assert file.read_bytes().endswith(b"}\n")
    assert ids_of(lines_of(tmp_path)) == [f"req_{number}" for number in range(int(refused))]
    assert is_full == "True"


def test_a_closed_journal_takes_nothing(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalFull):
        journal.append(usage_record())


def test_only_the_dead_are_adopted(journal: Journal) -> None:
    journal.append(usage_record())
    assert segments.orphans(journal.directory, set()) == []
    journal.close()
    (orphan,) = segments.orphans(journal.directory, set())
    assert ids_of(orphan.read().splitlines()) == ["req_1"]
    assert segments.orphans(journal.directory, set()) == []  # one adopter only
    orphan.discard()
    assert [*journal.directory.iterdir()] == []


def test_a_line_longer_than_one_read_is_read_whole(journal: Journal) -> None:
    journal.append(usage_record("req_long", model="x" * (3 * segments.READ_BYTES)))
    journal.append(usage_record("req_next"))
    (segment,) = journal.segments()
    assert ids_of(segment.read().splitlines()) == ["req_long", "req_next"]


def test_knows_no_django() -> None:
    """The data plane's benchmark and the writer of a test use it alone."""
    assert run("import metering.recorder, metering.journal, sys; print('django' in sys.modules)") == "False\n"
