"""Journal files on disk: who owns one, what of it was shipped, and how its lines are read.

Each file is locked (flock) by the process that writes it. The lock ends with the process, however that ends, so a
file whose lock can be had is an orphan, and whoever gets the lock ships it. A file is locked under another name
before it gets its own, so nobody ever sees one that is not locked yet. Not for network file systems.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from metering.usage import UsageRecord

SUFFIX = ".journal"
UNBORN_SUFFIX = ".new"
REJECTED_SUFFIX = ".rejected"
READ_BYTES = 2 * 1024 * 1024
UNBORN_KEPT_S = 86_400


@dataclass(slots=True, eq=False)
class Segment:
    """One locked file. `shipped_bytes` is the offset up to which every line is in PostgreSQL or set aside.

    `unfinished` are the checkpoints in that part that nothing later has superseded yet, by the id of the request:
    while there is one, the file stays.
    """

    path: Path
    fd: int
    shipped_bytes: int = 0
    sealed: bool = False  # nobody appends to it any more
    unfinished: dict[str, UsageRecord] = field(default_factory=dict)

    def read(self) -> bytes:
        """The next complete lines after `shipped_bytes`, about READ_BYTES of them; empty when there is none."""
        limit_bytes = READ_BYTES
        while True:
            data = os.pread(self.fd, limit_bytes, self.shipped_bytes)
            end = data.rfind(b"\n") + 1
            if end or len(data) < limit_bytes:
                return data[:end]
            limit_bytes *= 2

    def torn(self) -> bytes:
        """What a writer that died in the middle of a line left at the end."""
        return os.pread(self.fd, max(0, os.fstat(self.fd).st_size - self.shipped_bytes), self.shipped_bytes)

    def set_aside(self, line: bytes, reason: str) -> None:
        """Keeps a line that cannot be recorded in a file of its own, once, however often it is shipped."""
        path = self.path.with_suffix(REJECTED_SUFFIX)
        entry = json.dumps({"line": line.decode(errors="backslashreplace")})[:-1].encode()
        if path.exists() and entry in path.read_bytes():
            return
        with path.open("ab") as file:
            file.write(entry + b", " + json.dumps({"reason": reason})[1:].encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    @property
    def journal(self) -> str:
        """The name of the journal that this is a file of."""
        return self.path.stem.rpartition("-")[0]

    def has_successor(self) -> bool:
        """Whether a file that the same process began later is there: it may say how requests of this one ended."""
        sequence = self.path.stem.rpartition("-")[2]
        return any(path.stem.rpartition("-")[2] > sequence for path in self._of_journal())

    def is_last(self) -> bool:
        """Whether no other file of the same journal is there any more."""
        return all(path == self.path for path in self._of_journal())

    def _of_journal(self) -> Iterator[Path]:
        return self.path.parent.glob(f"{self.journal}-*{SUFFIX}")

    @property
    def closed(self) -> bool:
        return self.fd < 0

    def release(self) -> None:
        """Gives the lock back and leaves the file to the next process that looks."""
        os.close(self.fd)
        self.fd = -1  # a late write fails instead of reaching another file of the same number

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.release()


def create(directory: Path, name: str) -> Segment:
    unborn = directory / (name + UNBORN_SUFFIX)
    fd = os.open(unborn, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = directory / (name + SUFFIX)
        unborn.rename(path)
    except OSError:
        os.close(fd)
        raise
    return Segment(path, fd)


def adopt(path: Path) -> Segment | None:
    """Takes over the file of a process that died; None while its owner lives, or when somebody was quicker."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    if _lock(fd) and _still_there(path, fd):
        return Segment(path, fd, sealed=True)
    os.close(fd)
    return None


def orphans(directory: Path, own: set[Path]) -> list[Segment]:
    """All that can be adopted now, oldest first. Files in `own` are not even opened."""
    found = [path for path in directory.glob("*" + SUFFIX) if path not in own]
    _sweep_unborn(directory)
    return [segment for path in sorted(found, key=_modified_at) if (segment := adopt(path)) is not None]


def foreign_bytes(directory: Path, own: set[Path]) -> int:
    """The size of all journal files in the directory but our own."""
    return sum(_size_bytes(path) for path in directory.glob("*" + SUFFIX) if path not in own)


def sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(path: Path, fd: int) -> bool:
    """Between our open and our lock another process may have shipped and deleted the file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sweep_unborn(directory: Path) -> None:
    """A process killed between creating and naming its file leaves an empty one."""
    for path in directory.glob("*" + UNBORN_SUFFIX):
        if _modified_at(path) < time.time() - UNBORN_KEPT_S:
            path.unlink(missing_ok=True)
