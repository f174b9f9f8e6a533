"""A stream in flight: follows the upstream, passes its bytes on, and settles once however it ends.

A class and not an async generator: a generator that was never started never runs its `finally`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from common.errors import ShareAIError
from nodes.recount import Recounts
from providers.adapters.base import COUNTED
from providers.failures import Kind, UpstreamFailure
from providers.schema import Call
from routing.failover import OpenedStream, Trail
from routing.health import Health
from routing.rendering import DONE, error_event, interrupted_event, trace_event, trace_of, usage_event
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
    ) -> None:
        self._call = call
        self._attempt = opened.attempt
        self._response = opened.response
        self._decoder = opened.decoder
        self._first = opened.first
        self._trail = trail
        self._settlement = settlement
        self._health = health
        self._clock = clock
        self._waiting_since = clock()
        self._sink: Sink
        self._over: asyncio.Future[UpstreamFailure | None]
        self._last = b""
        self._ended = False
        self._closed = False
        self._settled = False
        self._outcome = "cancelled"
        self._error_code = "client_closed_request"
        self.recounts: Recounts | None = None
        """Set where a machine of others answers, whose word is held against what is counted here."""

    async def pour(self, sink: Sink) -> bytes:
        """The first bytes go out, then the upstream is followed: chunks no longer come by here, only the end does."""
        self._sink, response = sink, self._response
        sink.watch(response.pause, response.resume)
        failure: UpstreamFailure | None = None
        if self._decoder.done:
            self._last = self._first
        else:
            sink.write(self._first)
            self._over = asyncio.get_running_loop().create_future()
            response.follow(self)
            failure = await self._over
            await sink.flushed()
        if failure is not None:
            return self._broken(failure)
        if not self._decoder.done:
            return await self._end_of_upstream()
        return self._last + await self._finish()

    def data(self, chunk: bytes) -> None:
        if self._over.done():
            return
        decoder = self._decoder
        try:
            out = decoder.feed(chunk)
        except UpstreamFailure as failure:
            self._over.set_result(failure)
            return
        if decoder.done:
            self._last = out
            self._over.set_result(None)
        elif out:
            self._sink.write(out)

    def ended(self, failure: UpstreamFailure | None) -> None:
        if not self._over.done():
            self._over.set_result(failure)

    async def _end_of_upstream(self) -> bytes:
        """The upstream closed without a terminator: whole if it had said why it finished, broken if not."""
        rest = self._decoder.finish()
        if self._decoder.done or self._decoder.finish_reason:
            return rest + await self._finish()
        return rest + self._broken(UpstreamFailure(Kind.INTERRUPTED, "the stream ended without its end"))

    async def _finish(self) -> bytes:
        """The end of a whole answer. It is recorded first: a caller who has seen the end has been counted."""
        self._ended = True
        self._outcome, self._error_code = "ok", ""
        tail = DONE
        if self._decoder.usage is None:
            usage = self._decoder.usage = await self._settlement.count(self._decoder.delivered_text())
            if self._call.include_usage:
                tail = usage_event(self._call, usage) + tail
        self._settle()
        if self._call.wants_trace:
            tail = trace_event(self._call, trace_of(self._settlement.plan, self._trail.attempts)) + tail
        return tail

    def _broken(self, failure: UpstreamFailure) -> bytes:
        self._ended = True
        self._outcome, self._error_code = failure.kind, "upstream_interrupted"
        self._blame()
        self._response.close()
        return interrupted_event(self._call, failure, self._attempt.target.name)

    def _blame(self) -> None:
        attempt = self._attempt
        self._health.breaker(attempt.target.id, attempt.credential_id).failed(self._clock())

    def note_end(self, code: str) -> None:
        if self._outcome == "cancelled":
            self._error_code = code

    def abort(self, error: ShareAIError, *, by_upstream: bool) -> bytes:
        if self._settled:
            return b""
        self._ended = True
        self._outcome = self._error_code = error.code
        if by_upstream:
            self._blame()
        return error_event(self._call, error.code, error.message)

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
        self._trail.upstream_s += now - self._waiting_since
        self._trail.note(self._attempt, self._outcome, now, 200)
        usage, complete = self._decoder.usage, self._outcome == "ok"
        reason = COMPLETED if complete else CANCELLED if self._outcome == "cancelled" else INTERRUPTED
        status = 499 if self._outcome == "cancelled" else 200
        finish_reason = self._decoder.finish_reason if complete else ""
        if usage is None or (not complete and usage.source == COUNTED):
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
        if complete and self.recounts is not None:
            took_s = now - self._attempt.started
            self.recounts.note(self._call, self._attempt.target, usage, self._decoder.delivered_text, took_s)
        if complete and self._attempt.ttft_s is not None:
            duration_s = now - self._attempt.started - self._attempt.ttft_s
            self._attempt.speed.note(self._attempt.ttft_s, usage.output_tokens, duration_s)
