"""Requests that go on: what was last heard of each, and in which file of the journal that stands.

A long stream writes a checkpoint now and then. Its next checkpoint supersedes it, and its final record ends it. A
file is kept while a checkpoint in it is the newest that is known of a request; once its process is dead, and no later
file of that process is left to say more, the checkpoint is recorded as it stands. Should a final record have been
there before, it prevails, as any record does that is there first.

    000001: A… B… C‖    A and B superseded by 000002: kept for C        (… checkpoint, ‖ rotation, ■ final)
    000002: A… B… B■    kept for A
    the process dies    C and A are recorded as they were last heard of; B as it ended
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from metering.segments import Segment
from metering.usage import UsageRecord


class Unfinished:
    """Of one recorder, over its own files and those that it adopted."""

    def __init__(self) -> None:
        self._where: dict[str, Segment] = {}

    def note(self, segment: Segment, records: Iterable[UsageRecord]) -> None:
        """Takes up what was just shipped of a file. Files of a dead process may come in any order."""
        for record in records:
            if record.kind:
                self._note_checkpoint(segment, record)
            elif self._where:
                self.finish(record.request_id)

    def _note_checkpoint(self, segment: Segment, record: UsageRecord) -> None:
        known = self._where.get(record.request_id)
        if known is not None and known.path > segment.path:
            return
        self.finish(record.request_id)
        segment.unfinished[record.request_id] = record
        self._where[record.request_id] = segment

    def finish(self, request_id: str) -> None:
        older = self._where.pop(request_id, None)
        if older is not None:
            del older.unfinished[request_id]


def final_of(checkpoint: UsageRecord) -> UsageRecord:
    """The row of a request of which nothing more will be heard."""
    return msgspec.structs.replace(checkpoint, kind="")
