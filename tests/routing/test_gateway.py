"""The main line without a network: what is refused before it begins, and what is recorded however it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from common.errors import TemporarilyUnavailable
from demo.answers import Voice, answer
from demo.faults import Scene, Step, steps
from metering.gate import Gate
from metering.usage import UsageRecord
from providers.schema import upstream_body
from providers.transport import Deadlines, UpstreamRequest
from routing import settlement
from routing.admission import Admission
from routing.failover import Failover, RetryBudget
from routing.flights import LEFT, Flights
from routing.gateway import Gateway
from routing.health import Health
from routing.planner import Planner
from routing.settlement import drain_counting
from routing.snapshots import Loader, Snapshots
from tests.fakes.scripted import ScriptedTransport
from tests.routing.builders import CALLER, call, snapshot, target


class Rig:
    """A gateway in front of one scripted upstream that answers in one way. `records` is its journal."""

    def __init__(self, slug: str, *, can_record: bool = True) -> None:
        self.records: list[UsageRecord] = []
        self.call = call()
        self.transport = ScriptedTransport(lambda request: self._script(request, slug))
        self.flights = Flights()
        health = Health()
        failover = Failover({"scripted": self.transport}, health, RetryBudget(lambda: 1), lambda *_: None)
        loaded = snapshot(target("a", transport="scripted"))
        self.snapshots = Snapshots(Loader(lambda ids: dict.fromkeys(ids, 1), lambda _: loaded, lambda _: {1: 1}), ())
        planner = Planner(health, Deadlines())
        self.gateway = Gateway(
            self.snapshots,
            planner,
            failover,
            health,
            Admission(Gate("redis://127.0.0.1:1/0")),
            self.records.append,
            monotonic,
            lambda: can_record,
        )

    def _script(self, request: UpstreamRequest, slug: str) -> Iterator[Step]:
        reply = answer("/v1/chat/completions", upstream_body(self.call, "m"), Voice("Fault"))
        return steps(slug, Scene(reply, stream=False))[1]

    async def serve(self):
        await self.snapshots.reload(1)
        flight = self.flights.enter(lambda: asyncio.sleep(60))
        try:
            return await self.gateway.serve(self.call, CALLER, flight)
        finally:
            self.flights.leave(flight)
            await self.snapshots.aclose()


async def test_what_cannot_be_recorded_is_not_begun():
    rig = Rig("ok", can_record=False)
    with pytest.raises(TemporarilyUnavailable) as refused:
        await rig.serve()
    assert refused.value.retry_after_s == 5
    assert (rig.transport.sent, rig.records) == ([], [])


async def test_an_answer_is_recorded_before_it_is_given():
    rig = Rig("ok")
    reply = await rig.serve()
    [record] = rig.records
    assert (reply.status, record.billing_reason, record.usage_source) == (200, "completed", "reported")


async def test_a_caller_who_leaves_while_its_answer_is_counted_is_recorded_all_the_same(monkeypatch):
    counting, go_on = threading.Event(), threading.Event()
    count = settlement.counted_usage

    def slowly(*wanted):
        counting.set()
        go_on.wait(10)
        return count(*wanted)

    monkeypatch.setattr(settlement, "counted_usage", slowly)
    rig = Rig("bad-usage-missing")
    serving = asyncio.create_task(rig.serve())
    await asyncio.to_thread(counting.wait, 10)
    [flight] = rig.flights._flights
    flight.end(LEFT)
    with pytest.raises(asyncio.CancelledError):
        await serving
    go_on.set()
    await drain_counting()
    [record] = rig.records
    assert (record.billing_reason, record.usage_source) == ("completed", "counted")
    assert record.output_tokens > 10
