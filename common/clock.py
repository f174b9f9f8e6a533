"""Time as a dependency: code that waits or dates things is given a Clock, and its tests move a ManualClock."""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Aware, in UTC."""
        return datetime.now(UTC)

    def unix_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        """For durations and deadlines: never goes back; its zero means nothing."""
        return time.monotonic()


class ManualClock(Clock):
    """Stands still until it is told to move. Wall time and monotonic time move together, as on a good machine.

    Args:
        start: where wall time begins; must be aware.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock starts at an aware time")
        self._now = start.astimezone(UTC)
        self._monotonic_s = 0.0

    def now(self) -> datetime:
        return self._now

    def unix_s(self) -> float:
        return self._now.timestamp()

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("monotonic time does not go back; use set_now to move wall time alone")
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds

    def set_now(self, now: datetime) -> None:
        """Moves wall time alone, back or forth, as a correction by NTP does."""
        if now.tzinfo is None:
            raise ValueError("wall time is aware")
        self._now = now.astimezone(UTC)


SYSTEM_CLOCK = Clock()
