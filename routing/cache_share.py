"""One request to an upstream, shared by all who ask the same while it runs.

It is asked in a task of its own, as if the share itself were the caller, so that whoever came first may leave like
anybody else. Who came first pays, the others get a hit. When nobody is left it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from time import time
from typing import Any, TypeVar

import msgspec

from common.errors import Draining, ShareAIError
from routing.asked import Ask, Asked
from routing.cache_entries import Entry, entry_of, may_be_kept
from routing.cache_keys import Wanted
from routing.cache_listeners import Follower
from routing.cache_live import Live
from routing.cache_replies import hit_headers
from routing.cache_store import Memory, Shelf
from routing.failover import RejectedUpstream
from routing.flights import LEFT, Flight, Flights, Headers, record_of_ended, refusal_of_ended
from routing.rendering import DONE, cache_headers, dropped_in, from_header, trace_of, with_trace
from routing.replies import Reply, StreamReply
from routing.settlement import COMPLETED, NO_CHARGE, Settlement

T = TypeVar("T")


class ShareFailed(Exception):
    """What was shared came to nothing for those who only waited for it."""


class Share:
    """Attributes: summary: what the answer was, once it is complete; without its text if that was too long."""

    def __init__(
        self,
        wanted: Wanted,
        ask: Ask,
        flights: Flights,
        memory: Memory,
        shelf: Shelf | None,
        forget: Callable[[Share], None],
    ) -> None:
        self.wanted = wanted
        self.live = Live()
        self.summary: Entry | None = None
        self.is_over = False
        self._ask = ask
        self._flights = flights
        self._memory = memory
        self._shelf = shelf
        self._forget = forget
        self._seats: dict[Asked, None] = {}
        self._payer: Asked | None = None
        self._flight: Flight | None = None
        self._settlement: Settlement | None = None
        self._headers: Headers = []
        self._body = b""
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[bool] = _heard(loop.create_future())
        self._ended: asyncio.Future[Entry | None] = _heard(loop.create_future())
        self._task = loop.create_task(self._run())
        self._task.add_done_callback(self._settle_waiting)

    @property
    def may_be_joined(self) -> bool:
        return not self.is_over and self.live.is_whole

    @property
    def is_paid(self) -> bool:
        """Somebody's money is held for it: whoever joins now will never have to pay, whoever else leaves."""
        return self._payer is not None

    async def reply(self, asked: Asked, *, fails: bool) -> Entry | Reply | StreamReply:
        """This caller's part: the stream as it goes on, or the answer when it is there.

        Args:
            fails: a failure of what is shared is this caller's too, though somebody else asked.

        Raises:
            RejectedUpstream: the request itself is at fault, whoever makes it.
            ShareAIError: nobody answered.
            ShareFailed: the same, for a caller who may ask again.
        """
        self._seats[asked] = None
        follower = Follower(self, asked) if asked.call.stream else None
        reply: StreamReply | None = None
        try:
            if follower is not None and await asyncio.shield(self._opened):
                reply = StreamReply(200, self._headers_for(asked), follower)
                return reply
            return self._whole_for(asked, await asyncio.shield(self._ended))
        except ShareAIError as failure:
            if fails or asked is self._payer:
                raise
            raise ShareFailed from failure
        finally:
            if reply is None:
                if follower is not None:
                    self.live.leave(follower)
                self.leave(asked)

    def leave(self, asked: Asked) -> None:
        self._seats.pop(asked, None)
        if self._seats or self.is_over:
            return
        self._forget(self)
        if self._flight is not None:
            self._flight.end(LEFT)
        else:
            self._task.cancel()

    def _headers_for(self, asked: Asked) -> Headers:
        if asked is self._payer:
            return [*self._headers, *cache_headers(b"MISS")]
        kind = [header for header in self._headers if not header[0].startswith(b"x-")]
        target = from_header(dict(self._headers)[b"x-shareai-target"].decode())
        return [*kind, *hit_headers(target, asked, 0, self._dropped)]

    def _whole_for(self, asked: Asked, entry: Entry | None) -> Entry | Reply:
        if asked is self._payer and not asked.call.stream:
            call, body = asked.call, self._body
            if call.wants_trace:
                body = with_trace(body, trace_of(asked.plan, asked.trail.attempts))
            return Reply(200, [*self._headers, *cache_headers(b"MISS")], body)
        if entry is None:
            raise ShareFailed
        return entry

    async def _run(self) -> None:
        flight = self._flight = self._flights.enter(_nothing_comes)
        try:
            entry = await self._recalled()
            if entry is None:
                await self._ask_upstream(flight)
            else:
                self._memory.keep(self.wanted.digest, entry)
                self.summary = entry
                self._end(entry)
        finally:
            self._flights.leave(flight)

    async def _recalled(self) -> Entry | None:
        wanted = self.wanted
        if self._shelf is None or not wanted.freshness.reads:
            return None
        entry = await self._shelf.find(wanted.org_id, wanted.digest)
        return entry if entry is not None and entry.age_s(time()) <= wanted.oldest_s else None

    async def _ask_upstream(self, flight: Flight) -> None:
        payer = self._payer = next(iter(self._seats))
        settlement = self._settlement = payer.settlement.handed_over()
        # Usage and trace are told to each caller by itself, whatever the first one wished.
        call = msgspec.structs.replace(payer.call, include_usage=False, wants_trace=False)
        deadlines = payer.plan.deadlines
        flight.deadline = flight.started + (deadlines.total_stream_s if call.stream else deadlines.total_unary_s)
        flight.idle_s = deadlines.idle_s
        flight.write_chunk = self.live.write
        try:
            reply = await self._ask(Asked(call, payer.plan, payer.trail, settlement, flight, payer.enter))
        except RejectedUpstream as rejected:
            settlement.settle(status=rejected.status, billing_reason=NO_CHARGE, error_code="rejected_upstream")
            self._fail(rejected)
        except ShareAIError as error:
            settlement.settle(status=error.status, billing_reason=NO_CHARGE, error_code=error.code)
            self._fail(error)
        except asyncio.CancelledError:
            status, code = record_of_ended(flight)
            settlement.settle(status=status, billing_reason=NO_CHARGE, error_code=code)
            self._fail(refusal_of_ended(flight))
        else:
            try:
                await reply.send(self._take, flight)
            finally:
                reply.close()

    async def _take(self, message: MutableMapping[str, Any]) -> None:
        """What the upstream's answer is sent to, in the place of a server's `send`."""
        if message["type"] == "http.response.start":
            self._headers = [header for header in message["headers"] if header[0] != b"content-length"]
            if self._is_stream:
                self._opened.set_result(True)
        elif message.get("more_body"):
            await self.live.write_late(message["body"])
        else:
            await self._finish(message["body"])

    @property
    def _is_stream(self) -> bool:
        return self._payer is not None and self._payer.call.stream

    async def _finish(self, last: bytes) -> None:
        """Kept before it is told: who has seen the end of an answer finds it in every process."""
        record = self._settlement.record if self._settlement is not None else None
        is_complete = record is not None and record.billing_reason == COMPLETED
        if self._is_stream and (said := last.removesuffix(DONE) if is_complete else last):
            await self.live.write_late(said)
        if record is not None and is_complete and self.summary is None:
            self._body = self.live.said_since(0)[0] if self._is_stream and self.live.is_whole else last
            self.summary = entry_of(self._body, streamed=self._is_stream, record=record, dropped=self._dropped)
            await self._keep(self.summary)
        self._end(self.summary if self.live.is_whole else None)

    async def _keep(self, entry: Entry) -> None:
        wanted = self.wanted
        if not wanted.freshness.stores or not self.live.is_whole or not may_be_kept(entry, self._endpoint):
            return
        self._memory.keep(wanted.digest, entry)
        if self._shelf is not None:
            await self._shelf.keep(wanted.org_id, wanted.digest, entry, wanted.rule.ttl_s)

    @property
    def _dropped(self) -> tuple[str, ...]:
        return dropped_in(self._headers)

    @property
    def _endpoint(self) -> str:
        assert self._payer is not None
        return self._payer.call.endpoint

    def _end(self, entry: Entry | None) -> None:
        self.is_over = True
        self._forget(self)
        if not self._opened.done():
            self._opened.set_result(False)
        if not self._ended.done():
            self._ended.set_result(entry)
        self.live.end()

    def _fail(self, failure: Exception) -> None:
        self.is_over = True
        self._forget(self)
        for waiting in (self._opened, self._ended):
            if not waiting.done():
                waiting.set_exception(failure)
        self.live.end()

    def _settle_waiting(self, task: asyncio.Task[None]) -> None:
        """Nobody waits for ever, whatever became of the task."""
        if not self.is_over:
            failure = None if task.cancelled() else task.exception()
            self._fail(failure if isinstance(failure, Exception) else Draining())


async def _nothing_comes() -> MutableMapping[str, Any]:
    raise AssertionError("a share has no connection that anything could come from")


def _heard(future: asyncio.Future[T]) -> asyncio.Future[T]:
    """Nobody may be left to hear of a failure."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future
