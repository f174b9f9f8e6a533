"""`Idempotency-Key`: the same request sent again is done once and answered alike.

    claim ──► answered before? replay : the request runs in a task of its own ──► kept ──► told

It goes on when its caller leaves: who comes back finds the answer. What failed is forgotten, and may be tried again
under the same key. See docs/adr and `routing.kept_replies`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import blake2b
from typing import Any

import orjson

from accounts.authentication import Caller
from common.errors import InvalidRequest, ShareAIError
from providers.schema import Call
from routing.asked import Serves
from routing.cache_live import Listener, Live
from routing.flights import Flight, Flights, Headers, refusal_of_ended
from routing.kept_replies import MOST_REPLY_BYTES, RENEW_S, Claim, KeptReplies, KeptReply
from routing.rendering import DONE, error_event, error_reply
from routing.replies import Reply, Source, StreamReply
from routing.sink import Sink

LONGEST_KEY = 255
PATIENCE_S = 5.0
"""A caller waits this much longer than what it waits for, so that it is that one's end it hears of."""
LATE_TRY_S, MOST_LATE_TRIES = 1.0, 120
REPLAYED = (b"idempotent-replayed", b"true")
_LARGE_BYTES = 1 << 20
_NEVER_KEPT = (b"content-length", b"x-ratelimit-")
_PASSING = frozenset((401, 402, 408, 409, 429))
"""What may come out otherwise without a change of the request."""

End = Callable[[Claim, KeptReply | None, bool], Awaitable[None]]


class Errands:
    """Of one process."""

    def __init__(self, gateway: Serves, flights: Flights, kept: KeptReplies) -> None:
        self._gateway = gateway
        self._flights = flights
        self._kept = kept
        self._running: set[Errand] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def serve(self, key: bytes, call: Call, caller: Caller, flight: Flight) -> Reply | StreamReply:
        """
        Raises:
            InvalidRequest: the key has no characters, too many, or such as cannot be printed.
            IdempotencyInProgress, IdempotencyKeyReused, TemporarilyUnavailable: as `KeptReplies.claim`.
        """
        claim = await _claim_of(key, call, caller)
        errand = Errand(claim, call, caller, self._end)
        errand.task = asyncio.get_running_loop().create_task(self._run(errand))
        errand.task.add_done_callback(errand.settle_waiting)
        return await errand.reply(flight)

    async def aclose(self) -> None:
        for task in (self._renewing, *self._late):
            if task is not None:
                task.cancel()
        await self._kept.aclose()

    async def _run(self, errand: Errand) -> None:
        flight = self._flights.enter(_nothing_comes)
        try:
            found = await self._kept.claim(errand.claim)
            if found is not None:
                errand.begun.set_result(replay_of(found))
                return
            self._running.add(errand)
            self._renew_from_now_on()
            await self._do(errand, flight)
        finally:
            self._running.discard(errand)
            self._flights.leave(flight)

    async def _do(self, errand: Errand, flight: Flight) -> None:
        errand.flight = flight
        flight.key_id, flight.write_chunk = errand.caller.key_public_id, errand.live.write
        try:
            reply = await self._served(errand, flight)
            try:
                await reply.send(errand.take, flight)
            finally:
                reply.close()
        finally:
            if not errand.is_over:
                await self._kept.release(errand.claim)

    async def _served(self, errand: Errand, flight: Flight) -> Reply | StreamReply:
        try:
            return await self._gateway.serve(errand.call, errand.caller, flight)
        except ShareAIError as error:
            return error_reply(error, errand.call.request_id)
        except asyncio.CancelledError:
            return error_reply(refusal_of_ended(flight), errand.call.request_id)

    def _renew_from_now_on(self) -> None:
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.get_running_loop().create_task(self._renew())

    async def _end(self, claim: Claim, reply: KeptReply | None, failed: bool) -> None:
        """What Redis does not take now is told to it later: nobody shall be charged for the same thing again."""
        if failed:
            await self._kept.release(claim)
        elif not await self._kept.keep(claim, reply):
            task = asyncio.get_running_loop().create_task(self._keep_late(claim, reply))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _keep_late(self, claim: Claim, reply: KeptReply | None) -> None:
        for _ in range(MOST_LATE_TRIES):
            await asyncio.sleep(LATE_TRY_S)
            if await self._kept.keep(claim, reply):
                return

    async def _renew(self) -> None:
        """As long as anything runs."""
        while self._running:
            await asyncio.sleep(RENEW_S)
            if claims := [errand.claim for errand in self._running]:
                await self._kept.renew(claims)


class Errand:
    """One request under a key. `begun` is a whole reply, or the head of a stream whose bytes are in `live`."""

    def __init__(self, claim: Claim, call: Call, caller: Caller, end: End) -> None:
        self.claim = claim
        self.call = call
        self.caller = caller
        self.live = Live(MOST_REPLY_BYTES)
        self.is_over = False
        self.flight: Flight | None = None
        self.task: asyncio.Task[None] | None = None
        self.begun: asyncio.Future[Reply | Headers] = asyncio.get_running_loop().create_future()
        self._end = end
        self._status = 0
        self._headers: Headers = []

    async def reply(self, flight: Flight) -> Reply | StreamReply:
        begun = await asyncio.shield(self.begun)
        if isinstance(begun, Reply):
            return begun
        assert self.flight is not None
        flight.idle_s = self.flight.idle_s + PATIENCE_S
        return StreamReply(self._status, begun, Reader(self))

    async def take(self, message: MutableMapping[str, Any]) -> None:
        """What the answer is sent to, in the place of a server's `send`."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message["headers"]
            if not self._is_whole:
                self.begun.set_result(self._headers)
        elif message.get("more_body"):
            await self.live.write_late(message["body"])
        else:
            await self._finish(message["body"])

    def settle_waiting(self, task: asyncio.Task[None]) -> None:
        """Nobody waits for ever, whatever became of the task."""
        self.is_over = True
        failure = None if task.cancelled() else task.exception()
        if self.begun.done():
            self.live.end()
        elif failure is None:
            self.begun.cancel()
        else:
            self.begun.set_exception(failure)
            self.begun.exception()  # its caller may have left

    @property
    def _is_whole(self) -> bool:
        return any(name == b"content-length" for name, _ in self._headers)

    async def _finish(self, last: bytes) -> None:
        """Kept before it is told: who has seen the end of an answer finds it in every process."""
        may_come_out_otherwise = self._status >= 500 or self._status in _PASSING
        failed = may_come_out_otherwise or not (self._is_whole or last.endswith(DONE))
        await self._end(self.claim, None if failed else self._to_keep(last), failed)
        self.is_over = True
        if self._is_whole:
            headers = [header for header in self._headers if header[0] != b"content-length"]
            self.begun.set_result(Reply(self._status, headers, last))
        else:
            await self.live.write_late(last)

    def _to_keep(self, last: bytes) -> KeptReply | None:
        if not self.live.is_whole:
            return None  # its beginning was let go: it is longer than what is kept of any
        headers = [header for header in self._headers if not header[0].startswith(_NEVER_KEPT)]
        return KeptReply(self._status, headers, self.live.said_since(0)[0] + last)


class Reader(Listener, Source):
    """The caller's end of a stream that goes on without it, should it leave."""

    def __init__(self, errand: Errand) -> None:
        super().__init__(errand.live)
        self._errand = errand
        self._over: asyncio.Future[None] | None = None
        self._has_ended = False

    async def pour(self, sink: Sink) -> bytes:
        self.attach(sink)
        task = self._errand.task
        assert task is not None
        if not task.done():
            self._over = asyncio.get_running_loop().create_future()
            await self._over
        rest = await self.last_words(sink)
        self._has_ended = True
        return rest

    def ended(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def note_end(self, code: str) -> None:
        """Nothing is recorded for who reads."""

    def abort(self, error: ShareAIError, *, by_upstream: bool) -> bytes:
        if self._has_ended:
            return b""
        self._has_ended = True
        return error_event(self._errand.call, error.code, error.message)

    def close(self) -> None:
        self._live.leave(self)


def replay_of(kept: KeptReply) -> Reply:
    """A stream goes out in one piece. The request's id is that of the one which was served and recorded."""
    return Reply(kept.status, [*kept.headers, REPLAYED], kept.body)


async def _claim_of(key: bytes, call: Call, caller: Caller) -> Claim:
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.decode("ascii").isprintable():
        message = f"'Idempotency-Key' must be 1 to {LONGEST_KEY} printable ASCII characters."
        raise InvalidRequest(message, param="Idempotency-Key")
    name = blake2b(key, digest_size=24).hexdigest()
    place = f"shareai:idempotency:{caller.org_id}:{caller.key_id}:{name}"
    large = call.prompt_bytes > _LARGE_BYTES
    asked = await asyncio.to_thread(_digest, call) if large else _digest(call)
    return Claim(place, asked, call.request_id.encode())


def _digest(call: Call) -> bytes:
    said = orjson.dumps((call.endpoint, call.body), option=orjson.OPT_SORT_KEYS)
    return blake2b(said, digest_size=24).digest()


async def _nothing_comes() -> MutableMapping[str, Any]:
    """An errand has no connection over which anything could come, not even its end."""
    await asyncio.Event().wait()
    raise AssertionError
