"""Tasks that are told to end do, even where the first word is lost on them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from common import endings
from common.endings import ended


async def test_all_have_ended_however_they_end():
    async def fails() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("at the end")

    async def at_once() -> None:
        return

    tasks = [asyncio.create_task(work) for work in (asyncio.sleep(3600), fails(), at_once())]
    await asyncio.sleep(0)
    await ended(tasks)
    assert all(task.done() for task in tasks)


async def test_a_task_that_loses_its_cancellation_is_told_again(monkeypatch):
    monkeypatch.setattr(endings, "AGAIN_S", 0.01)
    lost = []

    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        lost.append(True)
        await asyncio.sleep(3600)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await ended([task])
    assert lost
    assert task.cancelled()


async def test_nothing_to_end():
    await ended([])
