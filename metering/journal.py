"""The journal: where a usage record is safe the moment `append` returns, whatever happens to the process.

One file per process, one JSON line per record, and each is written before anybody hears of its request's end, so a
`kill -9` loses nothing that was answered. The recorder ships the lines to PostgreSQL and syncs the file for the case
of a power failure. Knows no Django: the data plane appends on its event loop.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from pathlib import Path

import msgspec

from metering import segments
from metering.segments import Segment
from metering.usage import CHECKPOINT, UsageRecord, cleaned

CAPACITY_BYTES = 1 << 30
HEADROOM_BYTES = 16 << 20
ROTATE_BYTES = 8 << 20
ROTATE_AFTER_S = 600.0
DISK_RESERVE_BYTES = 64 << 20

logger = logging.getLogger(__name__)
_data_sync = getattr(os, "fdatasync", os.fsync)


class JournalFull(Exception):
    """Neither the journal's limit nor the disk leaves room for one more record."""


class Journal:
    """Appends usage records to this process's file and says when no more may be promised.

    `append` and its kin may be called from any thread; the rest is for the recorder and for `close`. Create it after
    the last fork: a child would inherit the lock and keep a dead parent's file from being adopted.

    Args:
        directory: shared by all processes of the host, on a local disk; made when missing.
        capacity_bytes: the limit for all that waits in the directory to be shipped.
        headroom_bytes: `is_full` says so this much before the limit, so that calls in flight can still be recorded.
        rotate_bytes: size at which a new file is begun.
        rotate_after_s: age at which a shipped file makes place for a new one.
        disk_reserve_bytes: `is_full` when the disk has less than this left.
    """

    def __init__(
        self,
        directory: Path,
        *,
        capacity_bytes: int = CAPACITY_BYTES,
        headroom_bytes: int = HEADROOM_BYTES,
        rotate_bytes: int = ROTATE_BYTES,
        rotate_after_s: float = ROTATE_AFTER_S,
        disk_reserve_bytes: int = DISK_RESERVE_BYTES,
    ) -> None:
        self.directory = directory
        self._capacity_bytes = capacity_bytes
        self._headroom_bytes = headroom_bytes
        self._rotate_bytes = rotate_bytes
        self._rotate_after_s = rotate_after_s
        self._disk_reserve_bytes = disk_reserve_bytes
        self._encode = msgspec.json.Encoder().encode
        self._lock = threading.Lock()  # the current file, what waits for it, and the counters
        self._files_lock = threading.Lock()  # no file is closed while it is synced
        self._appended_bytes = self._shipped_bytes = self._foreign_bytes = 0
        self._synced_bytes = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._limit_bytes = capacity_bytes  # of `_appended_bytes`: moves on with what is shipped
        self._disk_refuses = False
        self.name = f"{os.getpid()}-{secrets.token_hex(8)}"
        """Of all its files; no other process's journal has it, on any host."""
        self._sequence = 0
        self._sealed: list[Segment] = []
        self._unsynced: list[Segment] = []  # sealed since the last sync
        self.news = threading.Event()
        """Set by `append`; whoever makes the journal durable clears it, and sleeps until then."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._begin()

    @property
    def pending_bytes(self) -> int:
        """What waits to be shipped: our own, and as of the last `refresh` everybody else's."""
        return self.unshipped_bytes + self._foreign_bytes

    @property
    def unshipped_bytes(self) -> int:
        """What this process took and PostgreSQL does not have yet."""
        return self._appended_bytes + self._waiting_bytes - self._shipped_bytes

    @property
    def place(self) -> int:
        """How far it has got; `has_shipped` tells when PostgreSQL has all of that."""
        with self._lock:
            return self._appended_bytes + self._waiting_bytes

    def has_shipped(self, place: int) -> bool:
        return self._shipped_bytes >= place

    @property
    def is_full(self) -> bool:
        """Whether admission must refuse what it would have to record. Costs an attribute or two."""
        return self._disk_refuses or self.pending_bytes >= self._capacity_bytes - self._headroom_bytes

    def append(self, record: UsageRecord) -> None:
        """Writes one record; when this returns it outlives the process.

        Raises:
            JournalFull: at the limit, or the disk is full or broken. The record is not written.
        """
        line = self._line(record)
        with self._lock:
            self._refuse_at_limit()
            self._write(line)

    def append_soon(self, record: UsageRecord) -> bool:
        """Takes one record for `write_waiting`: one write for all that ends in a turn of the loop saves each request
        a tenth of its CPU time. Nobody may hear of the request's end before that.

        Returns:
            Whether nothing waited yet, so that `write_waiting` has to be called at the end of this turn.

        Raises:
            JournalFull: at the limit. The record is not taken.
        """
        line = self._line(record)
        with self._lock:
            self._refuse_at_limit()
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            return len(self._waiting) == 1

    def write_waiting(self) -> None:
        """When this returns, what `append_soon` took outlives the process.

        Raises:
            JournalFull: the disk is full or broken. It all goes on waiting.
        """
        with self._lock:
            self._write(b"")

    def _line(self, record: UsageRecord) -> bytes:
        try:
            return self._encode(record) + b"\n"
        except UnicodeEncodeError:
            return self._encode(cleaned(record)) + b"\n"

    def _refuse_at_limit(self) -> None:
        if self._appended_bytes + self._waiting_bytes >= self._limit_bytes:
            raise JournalFull(f"{self.pending_bytes} bytes wait to be shipped")

    def _write(self, line: bytes) -> None:
        """What waits, then `line`: all of it or nothing."""
        if self._waiting:
            line = b"".join(self._waiting) + line
        if not line:
            return
        try:
            written_bytes = os.write(self._current.fd, line)
        except OSError as error:
            raise self._refusal(error) from error
        if written_bytes != len(line):
            raise self._partly(written_bytes, line)
        self._appended_bytes += written_bytes
        if self._waiting:
            self._waiting, self._waiting_bytes = [], 0
        if self._appended_bytes >= self._rotate_at_bytes:
            self._rotate()
        if not self.news.is_set():
            self.news.set()

    def checkpoint(self, record: UsageRecord) -> bool:
        """Notes what a request that goes on has used: recorded only if the process dies before it appends the rest.

        Args:
            record: as it is to be recorded in that case, with the `request_id` and `started_at` of the final record.

        Fails: open; False when it could not be written, which is no reason to end the request.
        """
        try:
            self.append(msgspec.structs.replace(record, kind=CHECKPOINT))
        except JournalFull:
            return False
        return True

    def _refusal(self, reason: object) -> JournalFull:
        self._disk_refuses = True
        return JournalFull(f"cannot write {self._current.path}: {reason}")

    def _partly(self, written_bytes: int, line: bytes) -> JournalFull:
        """A disk that is nearly full takes the beginning of a line: takes it back."""
        os.ftruncate(self._current.fd, self._size_bytes)
        return self._refusal(f"the disk took {written_bytes} of {len(line)} bytes")

    @property
    def _size_bytes(self) -> int:
        return self._appended_bytes - self._begun_at_bytes

    def _set_limit(self) -> None:
        self._limit_bytes = self._capacity_bytes + self._shipped_bytes - self._foreign_bytes

    def _begin(self) -> None:
        self._current = segments.create(self.directory, f"{self.name}-{self._sequence:06d}")
        self._sequence += 1
        self._begun_at_bytes = self._appended_bytes
        self._rotate_at_bytes = self._appended_bytes + self._rotate_bytes
        self._begun_at_s = time.monotonic()

    def _rotate(self) -> None:
        old = self._current
        try:
            self._begin()
        except OSError as error:
            logger.warning("the journal stays with %s: %s", old.path, error)
            self._rotate_at_bytes += self._rotate_bytes
            return
        old.sealed = True
        self._sealed.append(old)
        self._unsynced.append(old)

    # -- for the recorder ----------------------------------------------------------------------

    def segments(self) -> list[Segment]:
        """This process's files, oldest first; the last one is being written."""
        with self._lock:
            return [*self._sealed, self._current]

    def own_paths(self) -> set[Path]:
        return {segment.path for segment in self.segments()}

    def sync(self) -> None:
        """Makes what was appended before survive a power failure too. Blocks for the disk, not for `append`."""
        with self._files_lock:
            with self._lock:
                appended_bytes, sealed, current = self._appended_bytes, self._unsynced, self._current
                self._unsynced = []
            if appended_bytes == self._synced_bytes:
                return
            for segment in [*sealed, current]:
                if not segment.closed:
                    _data_sync(segment.fd)
            if sealed or not self._synced_bytes:  # the new file's name is on the disk once its directory is
                segments.sync_directory(self.directory)
            self._synced_bytes = appended_bytes

    def ship(self, segment: Segment, shipped_bytes: int) -> None:
        """Notes that so many more bytes of one of our files are in PostgreSQL."""
        segment.shipped_bytes += shipped_bytes
        with self._lock:
            self._shipped_bytes += shipped_bytes
            self._set_limit()

    def discard(self, segment: Segment) -> None:
        """Deletes a sealed file of ours, all of which was shipped."""
        with self._lock:
            self._sealed.remove(segment)
        with self._files_lock:
            segment.discard()

    def refresh(self) -> None:
        """Looks at what changes without us: other processes' files, room on the disk, the age of the current file."""
        foreign_bytes = segments.foreign_bytes(self.directory, self.own_paths())
        disk = os.statvfs(self.directory)
        self._disk_refuses = disk.f_bavail * disk.f_frsize < self._disk_reserve_bytes
        with self._lock:
            self._foreign_bytes = foreign_bytes
            self._set_limit()
            old = time.monotonic() - self._begun_at_s >= self._rotate_after_s
            if old and 0 < self._size_bytes == self._current.shipped_bytes:
                self._rotate()

    def close(self, *, is_over: bool = True) -> None:
        """Ends writing. Files that are not shipped wholly stay for another process to adopt.

        Args:
            is_over: nothing waits for this journal to have been replayed. Else all files stay.
        """
        with self._files_lock, self._lock:
            try:
                self._write(b"")
            except JournalFull as error:
                logger.error("%d records are lost: %s", len(self._waiting), error)
                self._waiting, self._waiting_bytes = [], 0
            for segment in [*self._sealed, self._current]:
                if segment.closed:
                    continue
                is_shipped = os.fstat(segment.fd).st_size == segment.shipped_bytes and not segment.unfinished
                if is_shipped and is_over:
                    segment.discard()
                else:
                    segment.release()
            self._sealed.clear()
