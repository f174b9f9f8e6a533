"""The end of tasks that would go on for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 1.0


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels them, and returns when all have ended; how they ended is no matter any more.

    One cancellation may get lost: `wait_for` of Python 3.11 swallows it where what it waits for ends at the same
    moment, and clients of servers wait by it. Such a task would go on, and whoever waits for its end for ever.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # looked at, or asyncio complains of it
