"""Builds the journal and its recorder from Django's settings, for a process that serves `/v1`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string
from psycopg.conninfo import make_conninfo

from common.secrets import KeyRing
from ledger import leases
from ledger.posting import Cursor
from metering.content_log import ContentLog
from metering.ingest import BatchHook
from metering.journal import Journal
from metering.recorder import Recorder
from metering.usage import UsageRecord


def open_journal() -> Journal:
    return Journal(settings.JOURNAL_DIR)


def start_recorder(journal: Journal, on_recorded: Callable[[Sequence[UsageRecord]], None] | None = None) -> Recorder:
    recorder = Recorder(journal, conninfo(), on_batch=batch_hooks(), on_drained=bury, on_recorded=on_recorded)
    recorder.start()
    return recorder


def open_content_log(name_prompt: Callable[[int, dict[str, Any]], int]) -> ContentLog:
    keyring = KeyRing.parse(settings.KEYRING)
    return ContentLog(settings.JOURNAL_DIR / "content", conninfo(), keyring, name_prompt)


def bury(cursor: Cursor, journal: str) -> None:
    """What a dead process had leased and did not spend is free again."""
    leases.journal_drained(cursor, journal)
    leases.reap(cursor)


def batch_hooks() -> list[BatchHook]:
    """Fresh ones, of the rooms above that want to hear of usage in the transaction that records it."""
    return [import_string(path)() for path in settings.USAGE_HOOKS]


def conninfo() -> str:
    """Django's default database, as libpq reads it."""
    database = connection.settings_dict
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    options = {key: value for key, value in database["OPTIONS"].items() if isinstance(value, str)}
    return make_conninfo(**options, **{key: database[name] for key, name in names.items() if database[name]})
