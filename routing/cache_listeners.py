"""A caller's end of a shared stream: gets the bytes live, and is recorded as a hit or as what it saw instead."""

from __future__ import annotations

import asyncio
from typing import Protocol

from common.errors import ShareAIError
from routing.asked import Asked
from routing.cache_entries import Entry
from routing.cache_live import Listener, Live
from routing.cache_replies import tail_of
from routing.flights import UNHEARD_STATUS
from routing.rendering import error_event
from routing.replies import Source
from routing.settlement import NO_CHARGE
from routing.sink import Sink


class Shared(Protocol):
    """What a follower needs to know of what it follows."""

    live: Live
    summary: Entry | None
    is_over: bool

    def leave(self, asked: Asked) -> None: ...


class Follower(Listener, Source):
    """The settlement of who pays is in other hands: what is settled here for that one counts for nothing."""

    def __init__(self, share: Shared, asked: Asked) -> None:
        super().__init__(share.live)
        self._share = share
        self._asked = asked
        self._over: asyncio.Future[None] | None = None
        self._has_ended = False
        self._code = "client_closed_request"

    async def pour(self, sink: Sink) -> bytes:
        self.attach(sink)
        if not self._share.is_over:
            self._over = asyncio.get_running_loop().create_future()
            await self._over
        rest = await self.last_words(sink)
        self._has_ended = True
        summary, settlement = self._share.summary, self._asked.settlement
        if summary is None:
            settlement.settle(status=200, billing_reason=NO_CHARGE, error_code="upstream_interrupted")
            return rest
        settlement.settle_hit(summary.usage, summary.finish_reason, summary.cost_nanos)
        return rest + tail_of(summary, self._asked)

    def ended(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def note_end(self, code: str) -> None:
        self._code = code

    def abort(self, error: ShareAIError, *, by_upstream: bool) -> bytes:
        if self._has_ended:
            return b""
        self._has_ended = True
        self._asked.settlement.settle(status=200, billing_reason=NO_CHARGE, error_code=error.code)
        return error_event(self._asked.call, error.code, error.message)

    def close(self) -> None:
        self._live.leave(self)
        self._asked.settlement.settle(status=UNHEARD_STATUS, billing_reason=NO_CHARGE, error_code=self._code)
        self._share.leave(self._asked)
