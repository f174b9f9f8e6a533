"""A machine of others says in its stream that it used more than it gave: nobody is told so, and nobody pays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

import msgspec
import orjson
import pytest

from demo.faults import Hang, Send, Step
from demo.faults.scripts import opening
from demo.faults.wire import DONE, LAST_CHUNK, chunk, sse
from metering.tokens import count_tokens
from metering.usage import UsageRecord
from providers.adapters.base import TokenUsage
from providers.targets import GUEST
from providers.transport import UpstreamRequest
from routing.counting import recount_of
from routing.failover import Failover, OpenedStream, RetryBudget, Trail
from routing.flights import Flight
from routing.health import Health
from routing.plans import Candidate, Plan
from routing.settlement import Settlement, drain_counting
from routing.streams import MeteredStream
from routing.upper_bounds import Size
from tests.fakes.scripted import ScriptedTransport
from tests.routing.builders import CALLER, call, target
from tests.routing.test_streams import Caller, _nobody_leaves

WORDS = "Hello from a machine that is not mine."
LIE = {"prompt_tokens": 9000, "completion_tokens": 5000, "total_tokens": 14000}
COUNTED = (count_tokens("hi"), count_tokens(WORDS))


def boasting(*, ends: bool = True) -> Iterator[Step]:
    yield opening()
    yield Send(chunk(sse({"choices": [{"index": 0, "delta": {"content": WORDS}}]})))
    yield Send(chunk(sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})))
    yield Send(chunk(sse({"choices": [], "usage": LIE})))
    yield Send(chunk(DONE) + LAST_CHUNK) if ends else Hang()


async def opened(ends: bool, notes: list[UsageRecord]) -> tuple[MeteredStream, list[UsageRecord]]:
    asked = call(stream=True, stream_options={"include_usage": True})
    serving, health, records = target("a", transport="scripted", place=GUEST), Health(), []
    plan, trail = Plan("", "priority", (Candidate(serving, serving.credentials),), ()), Trail(monotonic())
    settlement = Settlement(asked, CALLER, trail, records.append, monotonic)
    settlement.plan = plan

    def script(request: UpstreamRequest) -> Iterator[Step]:
        return boasting(ends=ends)

    task = asyncio.current_task()
    assert task is not None
    flight = Flight(task, _nobody_leaves, monotonic())
    failover = Failover({"scripted": ScriptedTransport(script)}, health, RetryBudget(lambda: 1), lambda *_: None)
    result = await failover.run(asked, plan, trail, flight)
    assert isinstance(result, OpenedStream)
    return MeteredStream(asked, result, trail, settlement, health, monotonic, notes.append), records


async def test_the_caller_reads_and_pays_what_the_gateway_counts():
    stream, records = await opened(True, [])
    caller = Caller()
    last = await stream.pour(caller.sink)
    stream.close()
    [record] = records
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (*COUNTED, "counted")
    events = [orjson.loads(event[6:]) for event in (caller.got + last).split(b"\n\n") if event.startswith(b"data: {")]
    [usage] = [event["usage"] for event in events if event.get("usage")]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == COUNTED


@pytest.mark.parametrize("noted", [False, True], ids=["left", "killed"])
async def test_what_was_claimed_before_the_end_is_not_believed_either(noted):
    """Neither of a caller who leaves, nor of a process that dies."""
    notes: list[UsageRecord] = []
    stream, records = await opened(False, notes)
    pouring = asyncio.create_task(stream.pour(Caller().sink))
    async with asyncio.timeout(10):
        while stream._decoder.usage is None:
            await asyncio.sleep(0.01)
        if noted:
            stream.checkpoint()
        while noted and not notes:
            await asyncio.sleep(0.01)
    pouring.cancel()
    stream.close()
    await drain_counting()
    for record in [*records, *notes]:
        assert (record.input_tokens, record.output_tokens, record.usage_source) == (*COUNTED, "counted")
    assert len(records) == 1


async def test_its_bound_holds_beside_the_count():
    stream, records = await opened(True, [])
    stream._settlement.bound = Size(400, 2)
    stream._attempt.target = msgspec.structs.replace(stream._attempt.target, org_id=2)
    await stream.pour(Caller().sink)
    stream.close()
    assert (records[0].output_tokens, records[0].usage_source) == (2, "bounded")
    assert records[0].cost_nanos == COUNTED[0] * 1_000 + 2 * 2_000


def test_tools_are_a_part_of_the_prompt():
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}

    def counted(**more: object) -> int:
        return recount_of(call(**more), target("a", place=GUEST), TokenUsage(), str).counted.input_tokens

    assert counted() == COUNTED[0]
    assert counted(tools=[tool]) >= COUNTED[0] + count_tokens(orjson.dumps(tool).decode())
