"""Hears what is asked and answered, for organisations that keep it. Where nobody does, nothing of this is run.

A stream is heard on its way to the caller, up to a bound; it is put together elsewhere, off the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from accounts.authentication import Caller
from common.errors import ShareAIError
from metering.content_log import Heard
from metering.transcripts import MOST_SIDE_BYTES, bounded
from providers.schema import Call
from routing.asked import Serves
from routing.cache_keys import freshness_of
from routing.discretion import leaves_nothing
from routing.flights import Flight
from routing.replies import Reply, Source, StreamReply
from routing.sink import Sink
from routing.snapshots import Snapshots

MOST_HEARD_BYTES = 1 << 20
"""Of the events of a stream, whose text is about a twentieth of them."""

Keep = Callable[[Heard], bool]


class Transcripts:
    """In front of the gateway. `keep` must return at once."""

    def __init__(self, gateway: Serves, snapshots: Snapshots, keep: Keep) -> None:
        self._gateway = gateway
        self._snapshots = snapshots
        self._keep = keep

    async def serve(self, call: Call, caller: Caller, flight: Flight) -> Reply | StreamReply:
        """As the gateway does."""
        began_at = datetime.now(UTC)
        reply = await self._gateway.serve(call, caller, flight)
        if not caller.logs_content or self._is_forgotten(call, caller):
            return reply
        heard = Heard(
            caller.org_id, call.request_id, began_at, caller.key_id, call.body, call.prompt_bytes, b"", reply.status
        )
        if isinstance(reply, StreamReply):
            reply.source = Overheard(reply.source, heard, self._keep)
        else:
            said, is_cut = reply.body, len(reply.body) > MOST_HEARD_BYTES
            if is_cut:  # pictures, of which nobody could read anything
                said = bounded(said, MOST_SIDE_BYTES // 2)[0].encode()
            self._keep(msgspec.structs.replace(heard, answer=said, is_whole=not is_cut))
        return reply

    def _is_forgotten(self, call: Call, caller: Caller) -> bool:
        if not freshness_of(call.cache_control).stores:
            return True
        return leaves_nothing(call, self._snapshots.get(caller.org_id).routes)


class Overheard(Source):
    """A stream whose bytes are noted as they pass. However it ends, what was said until then is kept."""

    def __init__(self, source: Source, heard: Heard, keep: Keep) -> None:
        self._source = source
        self._heard = heard
        self._keep = keep
        self._said: list[bytes] = []
        self._room_bytes = MOST_HEARD_BYTES
        self._is_whole = True
        self._is_closed = False

    async def pour(self, sink: Sink) -> bytes:
        last = await self._source.pour(Tap(sink, self._note))
        self._note(last)
        return last

    def checkpoint(self) -> None:
        self._source.checkpoint()

    def fell_silent(self) -> bool:
        return self._source.fell_silent()

    def note_end(self, code: str) -> None:
        self._source.note_end(code)

    def abort(self, error: ShareAIError, *, by_upstream: bool) -> bytes:
        said = self._source.abort(error, by_upstream=by_upstream)
        self._note(said)
        return said

    def close(self) -> None:
        self._source.close()
        if self._is_closed:
            return
        self._is_closed = True
        answer = b"".join(self._said)
        self._keep(msgspec.structs.replace(self._heard, answer=answer, streamed=True, is_whole=self._is_whole))

    def _note(self, chunk: bytes) -> None:
        if len(chunk) > self._room_bytes:
            self._is_whole = False
            self._room_bytes = 0
            return
        self._room_bytes -= len(chunk)
        self._said.append(chunk)


class Tap(Sink):
    """A sink that tells what goes through it."""

    __slots__ = ("_note", "_sink")

    def __init__(self, sink: Sink, note: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._note = note

    def watch(self, on_full: Callable[[], None], on_room: Callable[[], None]) -> None:
        self._sink.watch(on_full, on_room)

    def write(self, chunk: bytes) -> None:
        self._note(chunk)
        self._sink.write(chunk)

    async def flushed(self) -> None:
        await self._sink.flushed()

    def drop(self) -> None:
        self._sink.drop()
