"""What a long stream has used so far, noted in the journal now and then: a process that is killed in the middle of it
leaves a bill for what was delivered.

    Flights.sweep, every few seconds → Source.checkpoint → Checkpoints.note → a thread counts → Journal.checkpoint

A stream that ends before its first checkpoint pays nothing for this. See docs/adr/0014.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from metering.running_count import RunningCount
from metering.usage import UsageRecord
from providers.adapters.base import COUNTED, StreamDecoder, TokenUsage
from providers.schema import Call
from providers.targets import GUEST
from routing.counting import prompt_tokens
from routing.failover import Attempt
from routing.settlement import Settlement

Note = Callable[[UsageRecord], object]

_counting: set[asyncio.Task[None]] = set()


def nothing_noted(record: UsageRecord) -> None:
    """For a gateway without a journal."""


class Checkpoints:
    """Of one stream. `note` does nothing while the count of an earlier one is under way."""

    __slots__ = ("_call", "_counted_chars", "_input_tokens", "_is_counting", "_note", "_output", "_settlement")

    def __init__(self, call: Call, settlement: Settlement, note: Note) -> None:
        self._call = call
        self._settlement = settlement
        self._note = note
        self._output = RunningCount()
        self._counted_chars = 0
        self._input_tokens: int | None = None
        self._is_counting = False

    def note(self, attempt: Attempt, decoder: StreamDecoder) -> None:
        if self._is_counting:
            return
        usage = decoder.usage
        if usage is not None and usage.source != COUNTED and attempt.target.place != GUEST:
            self._write(attempt, usage)
            return
        text = decoder.delivered_text()
        new, self._counted_chars = text[self._counted_chars :], len(text)
        self._is_counting = True
        task = asyncio.get_running_loop().create_task(self._count(attempt, new))
        _counting.add(task)
        task.add_done_callback(_counting.discard)

    def restart(self, call: Call) -> None:
        """Another target goes on with the answer, asked by `call`: what it says is counted from its own beginning."""
        self._call = call
        self._output, self._counted_chars, self._input_tokens = RunningCount(), 0, None

    async def _count(self, attempt: Attempt, new: str) -> None:
        output = self._output
        try:
            usage = await asyncio.get_running_loop().run_in_executor(None, self._counted, output, new)
        finally:
            self._is_counting = False
        if output is self._output:
            self._write(attempt, usage)

    def _counted(self, output: RunningCount, new: str) -> TokenUsage:
        if self._input_tokens is None:
            self._input_tokens = prompt_tokens(self._call)
        return TokenUsage(self._input_tokens, output.add(new), 0, COUNTED)

    def _write(self, attempt: Attempt, usage: TokenUsage) -> None:
        record = self._settlement.record_so_far(attempt, usage)
        if record is not None:
            self._note(record)
