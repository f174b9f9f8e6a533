"""One line for each long step, so that nobody wonders what the bench is at."""

from __future__ import annotations

from datetime import UTC, datetime


def say(text: str) -> None:
    print(f"[{datetime.now(UTC):%H:%M:%S}] {text}", flush=True)
