"""The recorder: two threads that make the journal durable and carry it into PostgreSQL.

One syncs the journal's file to the disk, the other ships complete lines in batches, each batch in one transaction,
and adopts the files of processes that died. While PostgreSQL is away lines stay in the journal. Shipping twice is
harmless, so a file is deleted only after all of it was committed. A record that PostgreSQL can never take goes to
`<file>.rejected` with the reason, and the rest goes on.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import psycopg
from psycopg.errors import UniqueViolation

from metering import copying, segments
from metering.checkpoints import Unfinished, final_of
from metering.ingest import BatchHook, insert
from metering.journal import Journal
from metering.segments import Segment
from metering.usage import UsageRecord

SHIP_EVERY_S = 0.25
SYNC_EVERY_S = 0.05
LOOK_AROUND_EVERY_S = 5.0
BACKOFF_LONGEST_S = 5.0
FULL_BATCH_BYTES = 128 * 1024  # more comes while a batch is committed, and small batches cost most
RETRY_AT_STOP_S = 0.05
SESSION = "SET TIME ZONE 'UTC'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s'"
CONNECT_TIMEOUT_S = 5
SILENCE_LONGEST_MS = 10_000
POISON = (msgspec.MsgspecError, UnicodeDecodeError, psycopg.DataError, psycopg.IntegrityError)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RecorderStats:
    """Since the start of this process."""

    recorded: int = 0
    rejected: int = 0
    failures_in_a_row: int = 0
    last_error: str = ""


class Recorder:
    """Ships one process's journal, and orphaned ones of the same directory.

    Args:
        journal: this process's; the caller closes it, after `stop`.
        conninfo: of PostgreSQL, as libpq reads it; the recorder keeps one connection of its own.
        on_batch: run inside the transaction of each batch, with the records that are new.
        on_drained: run in a transaction, with the name of a dead process's journal, all of which was recorded.
        on_recorded: run by the recorder's thread once a batch is committed; may hear of a record twice.
    """

    def __init__(
        self,
        journal: Journal,
        conninfo: str,
        *,
        on_batch: Sequence[BatchHook] = (),
        on_drained: Callable[[psycopg.Cursor, str], None] | None = None,
        on_recorded: Callable[[Sequence[UsageRecord]], None] | None = None,
        ship_every_s: float = SHIP_EVERY_S,
        sync_every_s: float = SYNC_EVERY_S,
        look_around_every_s: float = LOOK_AROUND_EVERY_S,
    ) -> None:
        self.stats = RecorderStats()
        self._journal = journal
        self._conninfo = conninfo
        self._hooks = tuple(on_batch)
        self._on_drained = on_drained
        self._on_recorded = on_recorded
        self._ship_every_s = ship_every_s
        self._sync_every_s = sync_every_s
        self._look_around_every_s = look_around_every_s
        self._decode = msgspec.json.Decoder(UsageRecord).decode
        self._connection: psycopg.Connection | None = None
        self._adopted: list[Segment] = []
        self._unfinished = Unfinished()
        self._look_around_at_s = 0.0
        self._stopping = threading.Event()
        self._unshipped = threading.Event()
        self._unshipped.set()  # what an earlier process left
        self._give_up_at_s = float("inf")
        self._drained = False
        self._threads = [
            threading.Thread(target=self._keep_syncing, name="journal-sync", daemon=True),
            threading.Thread(target=self._keep_shipping, name="recorder", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ships what is left, for at most so long, and ends the threads.

        Returns:
            Whether all of this process's records are in PostgreSQL. What is not stays on the disk.
        """
        self._give_up_at_s = time.monotonic() + timeout_s
        self._stopping.set()
        self._journal.news.set()
        self._unshipped.set()
        for thread in self._threads:
            thread.join(max(0.0, self._give_up_at_s - time.monotonic()) + 1)
        return self._drained

    # -- loops ---------------------------------------------------------------------------------

    def _keep_syncing(self) -> None:
        """Wakes when something was appended, waits for more of it, and syncs it all at once."""
        pause_s = self._sync_every_s
        while not self._stopping.is_set():
            self._journal.news.wait()
            self._journal.news.clear()
            self._unshipped.set()
            self._stopping.wait(pause_s)
            try:
                self._journal.sync()
                pause_s = self._sync_every_s
            except OSError as error:
                logger.error("the journal is not safe from a power failure: %s", error)
                self._journal.news.set()
                pause_s = self._look_around_every_s

    def _keep_shipping(self) -> None:
        while not self._is_over():
            try:
                self._unshipped.clear()
                self._ship_all()
                self.stats.failures_in_a_row = 0
                if not self._stopping.is_set():
                    self._unshipped.wait(max(0.0, self._look_around_at_s - time.monotonic()))
                self._wait(self._ship_every_s)
            # Whatever a hook, the disk or the driver raises: without this thread the journal fills up and paid
            # traffic ends, so it never dies.
            except Exception as error:  # noqa: BLE001
                self._note_failure(error)
                self._wait(self._backoff_s())
        self._disconnect()
        for segment in self._adopted:
            segment.release()

    def _is_over(self) -> bool:
        if not self._stopping.is_set():
            return False
        self._drained = self._journal.unshipped_bytes == 0
        return self._drained or time.monotonic() >= self._give_up_at_s

    def _wait(self, pause_s: float) -> None:
        if self._stopping.is_set():
            time.sleep(min(pause_s, RETRY_AT_STOP_S))
        else:
            self._stopping.wait(pause_s)

    def _backoff_s(self) -> float:
        doubled_s = self._ship_every_s * 2.0 ** min(self.stats.failures_in_a_row, 10)
        return min(doubled_s, BACKOFF_LONGEST_S) * random.uniform(0.5, 1)  # noqa: S311  not a secret

    def _note_failure(self, error: Exception) -> None:
        stats = self.stats
        stats.failures_in_a_row += 1
        stats.last_error = f"{type(error).__name__}: {error}"
        expected = isinstance(error, psycopg.OperationalError)
        if stats.failures_in_a_row == 1 or not expected:
            logger.error("usage waits in the journal: %s", stats.last_error, exc_info=None if expected else error)
        self._disconnect()

    # -- files ---------------------------------------------------------------------------------

    def _ship_all(self) -> None:
        """Batch by batch, a turn for each file, until what is left is not worth a batch of its own."""
        self._look_around()
        behind = True
        while behind and not self._is_over():
            shipped_bytes = [self._ship(segment) for segment in [*self._journal.segments(), *self._adopted]]
            behind = max(shipped_bytes) >= FULL_BATCH_BYTES
        self._retire()

    def _look_around(self) -> None:
        now_s = time.monotonic()
        if now_s < self._look_around_at_s:
            return
        self._look_around_at_s = now_s + self._look_around_every_s
        self._journal.refresh()
        ours = self._journal.own_paths() | {segment.path for segment in self._adopted}
        self._adopted += segments.orphans(self._journal.directory, ours)

    def _ship(self, segment: Segment) -> int:
        """One batch of one file; returns its size."""
        block = segment.read()
        if block:
            self._record(segment, block.split(b"\n")[:-1])
            self._advance(segment, len(block))
        return len(block)

    def _advance(self, segment: Segment, shipped_bytes: int) -> None:
        if segment in self._adopted:
            segment.shipped_bytes += shipped_bytes
        else:
            self._journal.ship(segment, shipped_bytes)

    def _retire(self) -> None:
        """Deletes the files of which all was shipped and that nobody writes any more."""
        for segment in self._journal.segments():
            if segment.sealed and not segment.read() and not segment.unfinished:
                self._journal.discard(segment)
        for segment in [*self._adopted]:
            if not segment.read():
                self._ship_torn(segment)
                if segment.unfinished and segment.has_successor():
                    continue
                self._record_unfinished(segment)
                self._end(segment)

    def _end(self, segment: Segment) -> None:
        """Buries the process with the last of its files, and before that is deleted: PostgreSQL may be away."""
        is_last = segment.is_last()
        if is_last:
            self._bury(segment.journal)
        self._adopted.remove(segment)
        segment.discard()
        if not is_last and segment.is_last():  # of two recorders that had one file each, either saw the other's
            self._bury(segment.journal)

    def _bury(self, journal: str) -> None:
        """All that a dead process did is recorded."""
        if self._on_drained is not None:
            connection = self._connected()
            with connection.transaction(), connection.cursor() as cursor:
                self._on_drained(cursor, journal)

    def _ship_torn(self, segment: Segment) -> None:
        """The end of a file whose writer died in the middle of a line, or just before the line's end."""
        torn = segment.torn()
        if torn:
            logger.warning("%s ends in the middle of a line of %d bytes", segment.path, len(torn))
            self._record(segment, [torn])
            self._advance(segment, len(torn))

    def _record_unfinished(self, segment: Segment) -> None:
        """Of a process that died: what its requests had used when they were last heard of.

        Later files of that process are gone, so what they knew is recorded, and prevails.
        """
        lines = [msgspec.json.encode(final_of(record)) for record in segment.unfinished.values()]
        if lines:
            logger.warning("%d requests ended with the process that wrote %s", len(lines), segment.path)
            self._record(segment, lines)

    # -- records -------------------------------------------------------------------------------

    def _record(self, segment: Segment, lines: list[bytes]) -> None:
        """Records the lines; those that cannot be are found by halving, so that they do not hold up the others."""
        try:
            self.stats.recorded += self._commit(segment, lines)
        except POISON as error:
            if len(lines) == 1:
                self._reject(segment, lines[0], error)
                return
            middle = len(lines) // 2
            self._record(segment, lines[:middle])
            self._record(segment, lines[middle:])

    def _commit(self, segment: Segment, lines: list[bytes]) -> int:
        records = [self._decode(line) for line in lines]
        ended = [record for record in records if not record.kind]
        if len(ended) < len(records):
            lines = [line for line, record in zip(lines, records, strict=True) if not record.kind]
        new = self._put(lines, ended) if ended else 0
        if self._on_recorded is not None:
            self._on_recorded(ended)
        self._unfinished.note(segment, records)
        return new

    def _put(self, lines: list[bytes], records: list[UsageRecord]) -> int:
        connection = self._connected()
        if len(lines) >= copying.AT_LEAST:
            # A process that died after it had committed and before it could say so left lines that are recorded.
            with suppress(UniqueViolation), connection.transaction(), connection.cursor() as cursor:
                return copying.copy(cursor, lines, records, self._hooks)
        with connection.transaction(), connection.cursor() as cursor:
            return insert(cursor, lines, records, self._hooks)

    def _reject(self, segment: Segment, line: bytes, error: Exception) -> None:
        first_line, _, _ = str(error).partition("\n")  # PostgreSQL adds a copy of the row
        reason = f"{type(error).__name__}: {first_line}"
        logger.error("a record of %s was set aside: %s", segment.path, reason)
        segment.set_aside(line, reason)
        self.stats.rejected += 1
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            self._unfinished.finish(self._decode(line).request_id)

    # -- the connection ------------------------------------------------------------------------

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._conninfo,
                application_name="shareai recorder",
                connect_timeout=CONNECT_TIMEOUT_S,
                tcp_user_timeout=SILENCE_LONGEST_MS,
            )
            self._connection.execute(SESSION)
            self._connection.commit()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
