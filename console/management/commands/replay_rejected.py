"""Gives set-aside usage records back to the journal: `manage.py replay_rejected [--dry-run] [--wait-s 30]`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from metering.rejected import RejectedFile, find_rejected, replay

WAIT_S = 30.0
LOOK_EVERY_S = 0.1


class Command(BaseCommand):
    help = (
        "Gives the usage records that could not be recorded, `*.rejected` in the journal's folder, back to the "
        "journal, for a running gateway of this host to record. Ends with 1 when some are set aside again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only tell what was set aside, and why.")
        parser.add_argument("--wait-s", type=float, default=WAIT_S, help="How long to wait for the outcome.")

    def handle(self, *args: Any, dry_run: bool, wait_s: float, **options: Any) -> None:
        found = find_rejected(settings.JOURNAL_DIR)
        for rejected in found:
            self._tell(rejected)
        if not found:
            self.stdout.write("Nothing was set aside.")
        if not dry_run:
            self._replay([rejected for rejected in found if rejected.is_complete], wait_s)

    def _tell(self, rejected: RejectedFile) -> None:
        later = "" if rejected.is_complete else " (its journal file is still in use; try again in ten minutes)"
        self.stdout.write(f"{rejected.path}: {len(rejected.lines)} records{later}")
        for reason, count in rejected.reasons.most_common():
            self.stdout.write(f"  {count} × {reason}")

    def _replay(self, complete: list[RejectedFile], wait_s: float) -> None:
        waiting = {replay(rejected): len(rejected.lines) for rejected in complete}
        total = sum(waiting.values())
        give_up_at_s = time.monotonic() + wait_s
        while any(path.exists() for path in waiting) and time.monotonic() < give_up_at_s:
            time.sleep(LOOK_EVERY_S)
        if left := [path for path in waiting if path.exists()]:
            raise CommandError(f"{len(left)} files wait for a gateway of this host to record them.")
        again = _set_aside_again(set(waiting))
        self.stdout.write(f"Recorded: {total - again} of {total}.")
        if again:
            raise CommandError(f"{again} records were set aside again.")


def _set_aside_again(journals: set[Path]) -> int:
    found = find_rejected(settings.JOURNAL_DIR)
    return sum(len(rejected.lines) for rejected in found if rejected.journal in journals)
