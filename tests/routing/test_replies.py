"""A whole answer, where the server has no shorter way for it."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from time import monotonic
from typing import Any

from common.together import of_running_loop
from routing.flights import Flight
from routing.replies import Reply


class Refusing:
    """A writer that leaves every answer to ASGI's `send`."""

    def answer(self, *_: object) -> bool:
        return False


async def _nobody_leaves() -> MutableMapping[str, Any]:
    return {"type": "http.request"}


async def test_an_answer_that_goes_the_long_way_is_recorded_before_it_leaves() -> None:
    happened: list[str] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        happened.append(message["type"])

    task = asyncio.current_task()
    assert task is not None
    for writer in (None, Refusing()):
        flight = Flight(task, _nobody_leaves, monotonic())
        flight.writer = writer  # type: ignore[assignment]
        of_running_loop().first(lambda: happened.append("recorded"))
        await Reply(200, [], b"ok").send(send, flight)
    assert happened == ["recorded", "http.response.start", "http.response.body"] * 2
