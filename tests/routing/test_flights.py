"""The end of a process, seen from the requests in flight."""

from __future__ import annotations

import asyncio

from routing.flights import Flights


async def nobody_writes() -> dict:
    await asyncio.Event().wait()
    return {}


async def test_closing_waits_for_what_ends_in_time():
    flights, ended = Flights(), []

    async def serve() -> None:
        flight = flights.enter(nobody_writes)
        await asyncio.sleep(0.1)
        ended.append("by itself")
        flights.leave(flight)

    serving = asyncio.create_task(serve())
    await asyncio.sleep(0)
    await flights.aclose(drain_s=5)
    await serving
    assert ended == ["by itself"]


async def test_closing_returns_when_the_last_one_is_recorded():
    flights, recorded = Flights(), []

    async def serve() -> None:
        flight = flights.enter(nobody_writes)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)  # counts, says its last words
            recorded.append(flight)
        finally:
            flights.leave(flight)

    serving = asyncio.create_task(serve())
    await asyncio.sleep(0)
    await flights.aclose(drain_s=0)
    assert len(recorded) == 1
    await serving
