"""Sends payouts in processes that are killed at marked points, until none is open; started by the tests.

    python -m tests.billing.payout_worker <seed> <kills> <most> <period>

Each attempt is a process of its own, forked from one that has Django loaded and no connection open. The process kills
itself with SIGKILL at a point that the seed chooses, which is what a lost machine leaves behind.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from datetime import timedelta

MARKS = ("opened", "frozen one", "frozen", "claimed", "asked", "called", "posted", "ended")
OFTEN = {"frozen one", "claimed", "called", "posted", "ended"}


def killer(point: str, times: int) -> Callable[[str], None]:
    """Dies at that point, when it comes there for so many times."""
    left = times

    def at(mark: str) -> None:
        nonlocal left
        left -= mark == point
        if left == 0:
            sys.stdout.write(f"{mark}\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    return at


def attempt(at: Callable[[str], None], period: str) -> None:
    """Freezes and sends all there is, as if the pauses between attempts were over."""
    from django.utils import timezone

    from billing import freezing, payouts

    freezing.freeze_month(period, at)
    payouts.send_due(at, timezone.now() + timedelta(days=1))


def in_a_process(at: Callable[[str], None], period: str) -> int:
    """Returns: how the process ended, as `os.waitpid` says it."""
    child = os.fork()
    if child == 0:
        attempt(at, period)
        sys.stdout.flush()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main(seed: int, kills: int, most: int, period: str) -> None:
    import django

    django.setup()
    chance = random.Random(seed)
    for number in range(kills):
        point = MARKS[number % len(MARKS)]
        in_a_process(killer(point, chance.randint(1, most) if point in OFTEN else 1), period)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), sys.argv[4])
