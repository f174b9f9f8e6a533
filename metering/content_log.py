"""Keeps what was asked and answered, for organisations that want that: a thread seals it and ships it.

    keep ──► queue in memory ──► packed and sealed ──► a file beside the journal ──► metering_content

The queue and the file are bounded, and what does not fit is not kept: usage must be recorded, this need not be. A
file that a dead process left is shipped by the next one that looks. On no disk does anything lie unsealed.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from common.secrets import KeyRing
from metering import segments
from metering.segments import Segment
from metering.transcripts import transcript_of

QUEUE_BYTES = 64 << 20
FILE_BYTES = 256 << 20
ROTATE_BYTES = 8 << 20
DISK_RESERVE_BYTES = 512 << 20
"""What is left of the disk is for the journal, without which nothing is served."""

LOOK_AROUND_S = 10.0
PAUSE_S = 0.25
RETRY_S = 2.0
POISON = (msgspec.MsgspecError, UnicodeDecodeError, psycopg.DataError, psycopg.IntegrityError)

INSERT = """
INSERT INTO metering_content (org_id, request_id, started_at, key_id, prompt_hash, sealed, size_bytes, is_cut)
SELECT o.id, %(request_id)s, %(started_at)s::timestamptz, %(key_id)s, %(prompt_hash)s, %(sealed)s, %(size_bytes)s,
       %(is_cut)s
FROM accounts_organization o
WHERE o.id = %(org_id)s AND o.log_content AND o.deleted_at IS NULL
  AND (o.content_purged_at IS NULL OR o.content_purged_at < %(started_at)s::timestamptz)
FOR SHARE OF o
ON CONFLICT DO NOTHING
"""
"""The lock puts it before or after a purge, never in between."""

logger = logging.getLogger(__name__)


class Heard(msgspec.Struct, frozen=True):
    """One request that ended. `answer` holds a whole answer, or events of a stream, all of them if `is_whole`."""

    org_id: int
    request_id: str
    began_at: datetime
    key_id: int
    body: dict[str, Any]
    prompt_bytes: int
    answer: bytes
    status: int
    streamed: bool = False
    is_whole: bool = True

    @property
    def size_bytes(self) -> int:
        return self.prompt_bytes + len(self.answer)


class Line(msgspec.Struct, frozen=True):
    """A row of `metering_content` as it lies in the file."""

    org_id: int
    request_id: str
    started_at: str
    key_id: int
    prompt_hash: int
    sealed: bytes
    size_bytes: int
    is_cut: bool


def place_of(org_id: int, request_id: str) -> str:
    """What a sealed transcript is bound to."""
    return "|".join(("metering_content", request_id, str(org_id), ""))


class ContentLog:
    """Of one process.

    Args:
        directory: made when something is kept for the first time; shared by all processes of the host.
        name_prompt: the fingerprint of an organisation's prompt, as its usage row has it.
    """

    def __init__(
        self,
        directory: Path,
        conninfo: str,
        keyring: KeyRing,
        name_prompt: Callable[[int, dict[str, Any]], int],
        *,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self._directory = directory
        self._conninfo = conninfo
        self._keyring = keyring
        self._name_prompt = name_prompt
        self._most_queued_bytes = queue_bytes
        self._queue: deque[Heard] = deque()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._give_up_at_s = float("inf")
        self._file: Segment | None = None
        self._sequence = 0
        self._adopted: list[Segment] = []
        self._look_around_at_s = 0.0
        self._connection: psycopg.Connection | None = None
        self.dropped = self._told = 0
        self._thread = threading.Thread(target=self._run, name="content-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def keep(self, heard: Heard) -> bool:
        """Takes it over without waiting. Fails: open; False when there is no room, and it is not kept."""
        with self._lock:
            if self._queued_bytes + heard.size_bytes > self._most_queued_bytes:
                self.dropped += 1
                return False
            self._queued_bytes += heard.size_bytes
            self._queue.append(heard)
        self._news.set()
        return True

    def stop(self, timeout_s: float) -> None:
        """Ships what is left, for at most so long; the rest stays in the file for another process."""
        self._give_up_at_s = time.monotonic() + timeout_s
        self._stopping.set()
        self._news.set()
        self._thread.join(timeout_s + 1)

    def _run(self) -> None:
        while True:
            self._news.wait(LOOK_AROUND_S)
            self._news.clear()
            is_last = self._stopping.is_set()
            try:
                self._write_queued()
                self._ship_all()
            # The thread never dies: what it keeps would pile up in memory for nothing.
            except Exception as error:  # noqa: BLE001
                logger.warning("prompts and answers wait to be kept: %s: %s", type(error).__name__, error)
                self._disconnect()
                self._news.set()
                if is_last and time.monotonic() + RETRY_S > self._give_up_at_s:
                    break
                self._stopping.wait(RETRY_S) if not is_last else time.sleep(PAUSE_S)
                continue
            self._tell_of_dropped()
            if is_last:
                break
            self._stopping.wait(PAUSE_S)
        self._close()

    def _tell_of_dropped(self) -> None:
        if self.dropped > self._told:
            logger.warning("%d prompts and answers were not kept: there was no room", self.dropped - self._told)
            self._told = self.dropped

    # -- the file ------------------------------------------------------------------------------

    def _write_queued(self) -> None:
        while self._queue:
            heard = self._queue[0]
            line = self._line_of(heard)
            if line is not None and not self._append(line):
                self.dropped += 1
            with self._lock:
                self._queue.popleft()
                self._queued_bytes -= heard.size_bytes

    def _line_of(self, heard: Heard) -> bytes | None:
        try:
            kept = transcript_of(
                heard.body, heard.answer, status=heard.status, streamed=heard.streamed, is_whole=heard.is_whole
            )
            sealed = self._keyring.seal(kept.packed(), place_of(heard.org_id, heard.request_id))
            name = self._name_prompt(heard.org_id, heard.body) if heard.status == 200 else 0
        except (TypeError, ValueError):
            logger.exception("what request %s said cannot be kept", heard.request_id)
            return None
        line = Line(
            heard.org_id,
            heard.request_id,
            heard.began_at.isoformat(),
            heard.key_id,
            name,
            sealed,
            heard.size_bytes,
            kept.is_cut,
        )
        return msgspec.json.encode(line) + b"\n"

    def _append(self, line: bytes) -> bool:
        file = self._file
        if file is None:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = f"{os.getpid()}-{id(self):x}-{time.time_ns():x}-{self._sequence:06d}"
            self._sequence += 1
            file = self._file = segments.create(self._directory, name)
        disk = os.statvfs(self._directory)
        if disk.f_bavail * disk.f_frsize < DISK_RESERVE_BYTES:
            return False
        size_bytes = os.fstat(file.fd).st_size
        if size_bytes + len(line) - file.shipped_bytes > FILE_BYTES:
            return False
        if os.write(file.fd, line) != len(line):
            os.ftruncate(file.fd, size_bytes)
            return False
        return True

    def _ship_all(self) -> None:
        self._look_around()
        for segment in [*self._adopted, *([self._file] if self._file else [])]:
            while block := segment.read():
                self._record(block.split(b"\n")[:-1])
                segment.shipped_bytes += len(block)
            if segment is not self._file:
                self._adopted.remove(segment)
                segment.discard()
            elif segment.shipped_bytes >= ROTATE_BYTES:
                self._file = None
                segment.discard()

    def _look_around(self) -> None:
        if time.monotonic() < self._look_around_at_s or not self._directory.is_dir():
            return
        self._look_around_at_s = time.monotonic() + LOOK_AROUND_S
        ours = {segment.path for segment in [*self._adopted, *([self._file] if self._file else [])]}
        self._adopted += segments.orphans(self._directory, ours)

    def _close(self) -> None:
        self._disconnect()
        for segment in [*self._adopted, *([self._file] if self._file else [])]:
            with suppress(OSError):
                segment.release() if segment.read() else segment.discard()

    # -- PostgreSQL ----------------------------------------------------------------------------

    def _record(self, lines: list[bytes]) -> None:
        """What cannot be recorded is found by halving, and let go."""
        try:
            rows = [msgspec.structs.asdict(msgspec.json.decode(line, type=Line)) for line in lines]
            connection = self._connected()
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(INSERT, rows)
        except POISON:
            if len(lines) == 1:
                logger.exception("a transcript cannot be kept")
                return
            middle = len(lines) // 2
            self._record(lines[:middle])
            self._record(lines[middle:])

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._conninfo, application_name="shareai content log", connect_timeout=5, tcp_user_timeout=10_000
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
