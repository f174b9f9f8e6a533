"""A stream in flight, without a network: when it is recorded, and as what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from time import monotonic
from typing import Any

import msgspec
import orjson
import pytest

from common.errors import BadUpstreamResponse, KeyRevoked, UpstreamTimeout
from demo.answers import Voice, answer
from demo.faults import Scene, Send, Step, steps
from metering.usage import UsageRecord
from providers.schema import Call, upstream_body
from providers.transport import UpstreamRequest
from routing.failover import Failover, OpenedStream, RetryBudget, Trail
from routing.flights import Flight
from routing.health import Health
from routing.plans import Candidate, Plan
from routing.settlement import Settlement, drain_counting
from routing.sink import Sink
from routing.streams import MeteredStream
from tests.fakes.scripted import ScriptedTransport
from tests.routing.builders import CALLER, call, target


def playing(asked: Call, slug: str) -> ScriptedTransport:
    def script(request: UpstreamRequest) -> Iterator[Step]:
        reply = answer("/v1/chat/completions", upstream_body(asked, "m"), Voice("Fault"))
        return steps(slug, Scene(reply, stream=True))[1]

    return ScriptedTransport(script)


async def _nobody_leaves() -> dict[str, str]:
    return {"type": "http.request"}


async def opened(slug: str = "ok", *, wants_trace: bool = False) -> tuple[MeteredStream, list[UsageRecord], Health]:
    """A stream at its commit point, what will be recorded, and what is known of the target's health."""
    asked = msgspec.structs.replace(call(stream=True), wants_trace=wants_trace)
    clock = monotonic
    serving, health = target("a", transport="scripted"), Health()
    records: list[UsageRecord] = []
    plan, trail = Plan("", "priority", (Candidate(serving, serving.credentials),), ()), Trail(clock())
    settlement = Settlement(asked, CALLER, trail, records.append, clock)
    settlement.plan = plan
    task = asyncio.current_task()
    assert task is not None
    flight = Flight(task, _nobody_leaves, clock())
    failover = Failover({"scripted": playing(asked, slug)}, health, RetryBudget(lambda: 1), lambda *_: None)
    result = await failover.run(asked, plan, trail, flight)
    assert isinstance(result, OpenedStream)
    return MeteredStream(asked, result, trail, settlement, health, clock), records, health


class Caller:
    """Keeps what it was sent."""

    def __init__(self) -> None:
        self.got = b""
        task = asyncio.current_task()
        assert task is not None
        self.sink = Sink(self._take, Flight(task, _nobody_leaves, monotonic()))

    async def _take(self, message: MutableMapping[str, Any]) -> None:
        self.got += message["body"]


async def drained(stream: MeteredStream) -> bytes:
    caller = Caller()
    last = await stream.pour(caller.sink)
    stream.close()
    await drain_counting()
    return caller.got + last


@pytest.mark.parametrize("slug", ["ok", "no-done", "bad-usage-missing", "bad-usage-negative"])
async def test_it_is_recorded_before_the_caller_sees_the_end(slug):
    stream, records, _ = await opened(slug)
    caller = Caller()
    last = await stream.pour(caller.sink)
    assert b"[DONE]" in last
    assert b"[DONE]" not in caller.got
    [record] = records
    assert (record.status, record.billing_reason, record.finish_reason) == (200, "completed", "stop")
    assert record.output_tokens > 10
    assert record.usage_source == ("counted" if slug.startswith("bad-usage") else "reported")
    stream.close()
    await drain_counting()
    assert records == [record]


@pytest.mark.parametrize(
    ("slug", "outcome"), [("reset-midstream", "connection_lost"), ("error-event-midway", "error_in_200")]
)
async def test_one_that_breaks_is_recorded_with_what_was_delivered(slug, outcome):
    stream, records, _ = await opened(slug)
    assert b'"finish_reason":"error"' in await drained(stream)
    [record] = records
    assert (record.status, record.billing_reason, record.usage_source) == (200, "interrupted_delivered", "counted")
    assert 0 < record.output_tokens < 10
    assert record.attempts[-1].outcome == outcome


async def test_one_that_breaks_tells_the_trace_with_its_error():
    stream, records, _ = await opened("reset-midstream", wants_trace=True)
    [error] = [event for event in (await drained(stream)).split(b"\n\n") if b'"error"' in event]
    [told] = orjson.loads(error.removeprefix(b"data: "))["shareai"]["attempts"]
    [recorded] = records[0].attempts
    assert (told["target"], told["outcome"]) == (recorded.target, recorded.outcome)


async def test_one_that_is_broken_off_tells_the_trace_too():
    stream, records, _ = await opened(wants_trace=True)
    assert b'"shareai":{"route"' in stream.abort(UpstreamTimeout(), by_upstream=True)
    stream.close()
    await drain_counting()
    assert [attempt.outcome for attempt in records[0].attempts] == ["upstream_timeout"]


async def test_one_that_was_never_read_is_still_recorded():
    stream, records, _ = await opened()
    stream.close()
    await drain_counting()
    assert [record.billing_reason for record in records] == ["cancelled_delivered"]


async def test_the_trace_is_the_last_thing_before_the_end():
    stream, _, _ = await opened(wants_trace=True)
    *_, trace, end, _ = (await drained(stream)).split(b"\n\n")
    assert b'"outcome":"ok"' in trace
    assert end == b"data: [DONE]"


@pytest.mark.parametrize(("by_upstream", "failures_left"), [(True, 4), (False, 5)])
async def test_an_upstream_that_falls_silent_is_to_blame(by_upstream, failures_left):
    stream, records, health = await opened()
    assert b'"upstream_timeout"' in stream.abort(UpstreamTimeout(), by_upstream=by_upstream)
    stream.close()
    await drain_counting()
    assert records[0].billing_reason == "interrupted_delivered"
    breaker, now = health.breaker(*_only_pair(health)), asyncio.get_running_loop().time()
    for _ in range(failures_left - 1):
        breaker.failed(now)
    assert breaker.allows(now)
    breaker.failed(now)
    assert not breaker.allows(now)


async def test_what_is_over_cannot_be_broken_off_any_more():
    stream, records, _ = await opened()
    await stream.pour(Caller().sink)
    assert stream.abort(KeyRevoked(), by_upstream=False) == b""
    stream.close()
    assert [record.billing_reason for record in records] == ["completed"]


def _only_pair(health: Health) -> tuple[int, int]:
    [pair] = health._breakers
    return pair


async def test_what_is_held_before_the_first_content_is_bounded():
    """An upstream that says much and nothing: events of a role alone, each well-formed."""
    empty = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"","pad":null}}]}\n\n'

    def script(request: UpstreamRequest) -> Iterator[Step]:
        yield Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            piece = empty * 1000
            yield Send(b"%x\r\n%b\r\n" % (len(piece), piece))

    serving, health, clock = target("a", transport="scripted"), Health(), monotonic
    plan, trail = Plan("", "priority", (Candidate(serving, serving.credentials),), ()), Trail(clock())
    task = asyncio.current_task()
    assert task is not None
    transport = ScriptedTransport(script)
    failover = Failover({"scripted": transport}, health, RetryBudget(lambda: 1), lambda *_: None)
    with pytest.raises(BadUpstreamResponse):
        await failover.run(call(stream=True), plan, trail, Flight(task, _nobody_leaves, clock()))
    assert [attempt.outcome for attempt in trail.attempts] == ["answer_too_large"]
    assert transport.sent[0].told_to_stop.is_set()
