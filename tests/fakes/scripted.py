"""A transport without a network: it plays a fault's script into the seam, byte by byte as a server would.

For tests of what stands above the seam, and the proof that the seam's contract can be kept by more than HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import h11
from multidict import CIMultiDict

from demo.faults import Close, Hang, Pause, Reset, Send, Step
from providers.failures import Kind, UpstreamFailure
from providers.targets import Target
from providers.transport import Deadlines, Follower, Transport, UpstreamRequest, UpstreamResponse

Script = Callable[[UpstreamRequest], Iterator[Step]]
"""What is answered to a request."""


@dataclass(slots=True)
class Sent:
    """One request that came in. `told_to_stop` is set when its caller let go before the end."""

    target: Target
    request: UpstreamRequest
    told_to_stop: asyncio.Event = field(default_factory=asyncio.Event)


class ScriptedTransport(Transport):
    def __init__(self, script: Script) -> None:
        self._script = script
        self._refusing: set[str] = set()
        self.sent: list[Sent] = []

    def refuse(self, target: Target) -> None:
        """From now on nobody listens where this target is."""
        self._refusing.add(target.base_url)

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        if target.base_url in self._refusing:
            raise UpstreamFailure(Kind.CONNECT, "refused")
        sent = Sent(target, request)
        self.sent.append(sent)
        wire = _Wire(self._script(request))
        try:
            event = await wire.event()
        except BaseException:
            sent.told_to_stop.set()
            raise
        if not isinstance(event, h11.Response):
            raise UpstreamFailure(Kind.MALFORMED, "no head")
        return ScriptedResponse(event, wire, sent)


class ScriptedResponse(UpstreamResponse):
    def __init__(self, head: h11.Response, wire: _Wire, sent: Sent) -> None:
        self.status = head.status_code
        self.headers: Mapping[str, str] = CIMultiDict((n.decode(), v.decode("latin-1")) for n, v in head.headers)
        self._wire = wire
        self._sent = sent
        self._ended = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._following: asyncio.Task[None] | None = None

    async def read(self, limit_bytes: int) -> bytes:
        body = b""
        while chunk := await self.next_chunk():
            body += chunk
            if len(body) > limit_bytes:
                raise UpstreamFailure(Kind.TOO_LARGE, f"more than {limit_bytes} bytes")
        return body

    async def next_chunk(self) -> bytes:
        if self._ended:
            return b""
        event = await self._wire.event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        self._ended = True
        return b""

    def follow(self, follower: Follower) -> None:
        self._following = asyncio.create_task(self._hand_on(follower))

    async def _hand_on(self, follower: Follower) -> None:
        try:
            while chunk := await self.next_chunk():
                await self._flowing.wait()
                follower.data(chunk)
        except UpstreamFailure as failure:
            follower.ended(failure)
        else:
            follower.ended(None)

    def pause(self) -> None:
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
        if not self._ended:
            self._sent.told_to_stop.set()
            self._ended = True


class _Wire:
    """Steps in, HTTP events out."""

    def __init__(self, script: Iterator[Step]) -> None:
        self._script = script
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        self._parser.send(h11.Request(method="GET", target="/", headers=[("host", "scripted")]))
        self._parser.send(h11.EndOfMessage())

    async def event(self) -> h11.Event:
        try:
            while (event := self._parser.next_event()) is h11.NEED_DATA:
                self._parser.receive_data(await self._more())
        except h11.RemoteProtocolError as error:
            raise UpstreamFailure(Kind.RESET, "the connection was lost") from error
        if isinstance(event, h11.ConnectionClosed):
            raise UpstreamFailure(Kind.RESET, "the connection was lost")
        return event

    async def _more(self) -> bytes:
        await asyncio.sleep(0)
        match next(self._script, Close()):
            case Send(data=data):
                return data or await self._more()
            case Pause(seconds=seconds):
                await asyncio.sleep(seconds)
                return await self._more()
            case Hang():
                await asyncio.Event().wait()
            case Reset():
                raise UpstreamFailure(Kind.RESET, "the connection was lost")
        return b""
