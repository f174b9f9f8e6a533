"""What ends in one turn of the event loop is recorded by one write, before anybody gets an answer."""

from __future__ import annotations

import asyncio
import logging

from common.together import Together
from metering.journal import Journal, JournalFull
from metering.usage import UsageRecord

WRITE_AGAIN_S = 0.05

logger = logging.getLogger(__name__)


class ByTurn:
    """For requests whose answers leave by `turn`: what leaves otherwise flushes it first.

    Fails: open, when the disk refuses at the end of a turn. Its answers leave, the records wait in memory and are
    tried again and again; meanwhile `Journal.is_full` keeps new requests out.
    """

    def __init__(self, journal: Journal, turn: Together) -> None:
        self._journal = journal
        self._turn = turn
        self._is_late = False

    def append(self, record: UsageRecord) -> None:
        """The record outlives the process before the answers of this turn leave.

        Raises:
            JournalFull: at the journal's limit. The record is not taken.
        """
        if self._journal.append_soon(record):
            self._turn.first(self._write)

    def _write(self) -> None:
        try:
            self._journal.write_waiting()
        except JournalFull as error:
            if not self._is_late:
                logger.error("records wait in memory: %s", error)
            self._is_late = True
            asyncio.get_running_loop().call_later(WRITE_AGAIN_S, self._write)
        else:
            self._is_late = False
