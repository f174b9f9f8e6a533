"""Lines that the recorder set aside, given back to the journal once their cause is gone.

    <file>.rejected → <file>.replaying → <file>.journal → adopted and shipped by any recorder, as an orphan is

So they take the one way into PostgreSQL, with everything that hangs on it. What still cannot be recorded is set aside
again. Interrupted anywhere, a line is at worst shipped twice, which is harmless. Knows no Django.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metering import segments
from metering.segments import REJECTED_SUFFIX, SUFFIX

REPLAYING_SUFFIX = ".replaying"


@dataclass(frozen=True, slots=True)
class RejectedFile:
    """What was set aside of one journal file. While that file is there, its recorder may still add to it."""

    path: Path
    lines: tuple[bytes, ...]
    reasons: Counter[str]

    @property
    def journal(self) -> Path:
        return self.path.with_suffix(SUFFIX)

    @property
    def is_complete(self) -> bool:
        return not self.journal.exists()


def find_rejected(directory: Path) -> list[RejectedFile]:
    """Those of an interrupted replay too."""
    suffixes = (REJECTED_SUFFIX, REPLAYING_SUFFIX)
    return [_read(path) for path in sorted(directory.glob("*")) if path.suffix in suffixes]


def replay(rejected: RejectedFile) -> Path:
    """Makes a journal file of it, which any recorder of the directory adopts. For complete ones only.

    Returns:
        the journal file: it is gone as soon as all of it was recorded or set aside again.
    """
    waiting = rejected.path.with_suffix(REPLAYING_SUFFIX)
    rejected.path.rename(waiting)
    owner = waiting.stat()
    segment = segments.create(waiting.parent, waiting.stem)
    if os.fstat(segment.fd).st_uid != owner.st_uid:
        os.fchown(segment.fd, owner.st_uid, owner.st_gid)  # run by root, and to be opened by who records
    with os.fdopen(os.dup(segment.fd), "ab") as file:
        file.writelines(line + b"\n" for line in rejected.lines)
        file.flush()
        os.fsync(file.fileno())
    segments.sync_directory(waiting.parent)
    waiting.unlink()
    segment.release()
    return segment.path


def _read(path: Path) -> RejectedFile:
    entries = list(_entries(path))
    lines = tuple(dict.fromkeys(str(entry["line"]).encode() for entry in entries))
    return RejectedFile(path, lines, Counter(str(entry["reason"]) for entry in entries))


def _entries(path: Path) -> Iterator[dict[str, object]]:
    for line in path.read_bytes().splitlines():
        yield json.loads(line)
