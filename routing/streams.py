"""A stream in flight: follows the upstream, passes its bytes on, and settles once however it ends.

A class and not an async generator: a generator that was never started never runs its `finally`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from common.errors import ShareAIError
from nodes.recount import Recount, Recounts
from providers.adapters.base import COUNTED, TokenUsage
from providers.failures import Kind, UpstreamFailure
from providers.schema import Call
from providers.targets import GUEST
from routing.checkpoints import Checkpoints, Note, nothing_noted
from routing.continuation import Continuation
from routing.failover import OpenedStream, Trail
from routing.health import Health
from routing.rendering import DONE, NO_HEAD, error_event, interrupted_event, trace_event, trace_of, usage_event
from routing.replies import Source
from routing.settlement import CANCELLED, COMPLETED, INTERRUPTED, Settlement
from routing.sink import Sink


class MeteredStream(Source):
    def __init__(
        self,
        call: Call,
        opened: OpenedStream,
        trail: Trail,
        settlement: Settlement,
        health: Health,
        clock: Callable[[], float],
        write_checkpoint: Note = nothing_noted,
        continuation: Continuation | None = None,
    ) -> None:
        """`continuation` finds who goes on with it, should it break off."""
        self._call = call
        self._attempt = opened.attempt
        self._response = opened.response
        self._decoder = opened.decoder
        self._first = opened.first
        self._trail = trail
        self._settlement = settlement
        self._health = health
        self._clock = clock
        self._write_checkpoint = write_checkpoint
        self._continuation = continuation
        self._checkpoints: Checkpoints | None = None
        self._waiting_since = clock()
        self._sink: Sink
        self._over: asyncio.Future[UpstreamFailure | None] | None = None
        self._last = b""
        self._ended = False
        self._closed = False
        self._settled = False
        self._is_noted = False
        self._outcome = "cancelled"
        self._error_code = "client_closed_request"
        self._recount: Recount | None = None
        self.recounts: Recounts | None = None
        """Set where a machine of others may answer, whose word is held against what is counted here."""

    async def pour(self, sink: Sink) -> bytes:
        """The first bytes go out, then the upstream is followed: chunks no longer come by here, only the end does."""
        self._sink = sink
        failure = await self._followed(self._first)
        while failure is not None:
            opened = await self._taken_over(failure) if self._continuation is not None else None
            if opened is None:
                return self._last + self._broken(failure)
            failure = await self._followed(opened.first)
        return self._last + await self._finish()

    async def _followed(self, first: bytes) -> UpstreamFailure | None:
        """Passes on what the upstream says; None when that was a whole answer, of which `_last` is the end."""
        sink, response, self._last = self._sink, self._response, b""
        sink.watch(response.pause, response.resume)
        if self._decoder.done:
            self._last = first
            return None
        sink.write(first)
        self._over = asyncio.get_running_loop().create_future()
        response.follow(self)
        failure = await self._over
        await sink.flushed()
        if failure is not None or self._decoder.done:
            return failure
        self._last = self._decoder.finish()
        # The upstream closed without a terminator: whole if it had said why it finished, broken if not.
        if self._decoder.done or self._decoder.finish_reason:
            return None
        return UpstreamFailure(Kind.INTERRUPTED, "the stream ended without its end")

    async def _taken_over(self, failure: UpstreamFailure) -> OpenedStream | None:
        """Another target goes on. Until it does, what broke off is what this stream was."""
        assert self._continuation is not None
        now = self._clock()
        if self._last:
            self._sink.write(self._last)
            self._last = b""
        self._note(failure.kind, now)
        self._blame(failure.kind)
        self._response.close()
        self._attempt.close()
        try:
            opened = await self._continuation.go_on(self._attempt, self._decoder, failure)
        finally:
            self._waiting_since = self._clock()
        if opened is None:
            return None
        self._attempt, self._response, self._decoder = opened.attempt, opened.response, opened.decoder
        self._is_noted = False
        if self._checkpoints is not None:
            self._checkpoints.restart(self._continuation.call)
        return opened

    def data(self, chunk: bytes) -> None:
        over = self._over
        if over is None or over.done():
            return
        decoder = self._decoder
        try:
            out = decoder.feed(chunk)
        except UpstreamFailure as failure:
            over.set_result(failure)
            return
        if decoder.done:
            self._last = out
            over.set_result(None)
        elif out:
            self._sink.write(out)

    def ended(self, failure: UpstreamFailure | None) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(failure)

    def fell_silent(self) -> bool:
        if self._continuation is None or self._over is None or self._over.done():
            return False
        self._over.set_result(UpstreamFailure(Kind.IDLE_TIMEOUT, "silent in the middle of its answer"))
        return True

    async def _finish(self) -> bytes:
        """The end of a whole answer. It is recorded first: a caller who has seen the end has been counted."""
        self._ended = True
        self._outcome, self._error_code = "ok", ""
        tail, usage, head = DONE, self._decoder.usage, self._head
        if usage is None or self._attempt.target.place == GUEST:
            usage = self._decoder.usage = await self._counted(usage)
            head = NO_HEAD if head is None else head
        if head is not None and self._call.include_usage:
            tail = usage_event(self._call, self._settlement.summed(usage), head) + tail
        self._settle()
        if self._call.wants_trace:
            tail = trace_event(self._call, trace_of(self._settlement.plan, self._trail.attempts)) + tail
        return tail

    async def _counted(self, said: TokenUsage | None) -> TokenUsage:
        """Of an answer whose upstream told no usage, or is not to be taken at its word."""
        text = self._decoder.delivered_text()
        if said is None:
            return await self._settlement.count(text)
        self._decoder.usage = None  # who is cut off here pays what is counted
        self._recount = await self._settlement.recount(self._attempt.target, said, lambda: text)
        return self._recount.believed

    def _broken(self, failure: UpstreamFailure) -> bytes:
        self._ended = True
        self._outcome, self._error_code = failure.kind, "upstream_interrupted"
        if not self._is_noted:
            self._blame(failure.kind)
            self._response.close()
        return interrupted_event(self._call, failure, self._attempt.target.name, self._trace_of_failure())

    def _trace_of_failure(self) -> dict[str, Any] | None:
        """With the attempt that broke off, for who asked how it was routed."""
        if not self._call.wants_trace:
            return None
        if not self._is_noted:
            self._note(self._outcome, self._clock())
        return trace_of(self._settlement.plan, self._trail.attempts)

    @property
    def _head(self) -> Mapping[str, Any] | None:
        """What the events of an answer of several targets share; None for one target's, which tells its own usage."""
        continuation = self._continuation
        return continuation.head if continuation is not None and continuation.call is not self._call else None

    def _note(self, outcome: str, now: float) -> None:
        self._is_noted = True
        self._trail.upstream_s += now - self._waiting_since
        self._trail.note(self._attempt, outcome, now, 200)

    def _blame(self, kind: str) -> None:
        attempt = self._attempt
        self._health.breaker(attempt.target.id, attempt.credential_id).failed(self._clock(), kind)

    def checkpoint(self) -> None:
        if self._settled or self._is_noted:
            return
        if self._checkpoints is None:
            self._checkpoints = Checkpoints(self._call, self._settlement, self._write_checkpoint)
        self._checkpoints.note(self._attempt, self._decoder)

    def note_end(self, code: str) -> None:
        if self._outcome == "cancelled":
            self._error_code = code

    def abort(self, error: ShareAIError, *, by_upstream: bool) -> bytes:
        if self._settled:
            return b""
        self._ended = True
        self._outcome = self._error_code = error.code
        if by_upstream:
            self._blame(Kind.IDLE_TIMEOUT)
        return error_event(self._call, error.code, error.message, trace=self._trace_of_failure())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._outcome == "ok":
            self._response.finish()
        else:
            self._response.close()
        self._attempt.close()
        self._settle()

    def _settle(self) -> None:
        if self._settled:
            return
        self._settled = True
        now = self._clock()
        if not self._is_noted:
            self._note(self._outcome, now)
        usage, complete = self._decoder.usage, self._outcome == "ok"
        reason = COMPLETED if complete else CANCELLED if self._outcome == "cancelled" else INTERRUPTED
        status = 499 if self._outcome == "cancelled" else 200
        finish_reason = self._decoder.finish_reason if complete else ""
        is_guest = self._attempt.target.place == GUEST
        if usage is None or (not complete and (is_guest or usage.source == COUNTED)):
            self._settlement.settle_counted(
                self._decoder.delivered_text(),
                attempt=self._attempt,
                status=status,
                billing_reason=reason,
                finish_reason=finish_reason,
                error_code=self._error_code,
            )
            return
        self._settlement.settle(
            status=status,
            billing_reason=reason,
            attempt=self._attempt,
            usage=usage,
            finish_reason=finish_reason,
            error_code=self._error_code,
        )
        if complete and is_guest and self.recounts is not None:
            self.recounts.note(self._attempt.target, self._recount, now - self._attempt.started)
        if complete and self._attempt.ttft_s is not None:
            duration_s = now - self._attempt.started - self._attempt.ttft_s
            self._attempt.speed.note(self._attempt.ttft_s, usage.output_tokens, duration_s)
