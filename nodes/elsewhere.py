"""The way to a node that another process holds: by that process's relay, whose address is in the node's presence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import msgspec

from nodes import relay
from nodes.fleet import Fleet
from nodes.transport import longest_wait_s
from providers.failures import Kind, UpstreamFailure
from providers.http1 import Origin
from providers.targets import GUEST, Target
from providers.transport import Deadlines, UpstreamRequest, UpstreamResponse
from providers.upstream import DirectTransport

P = TypeVar("P", bound=asyncio.Protocol)


class ColleagueDialer:
    """Dials processes of this console, whose addresses come from Redis and not from tenants: nothing is judged."""

    async def dial(self, origin: Origin, make: Callable[[], P], within_s: float) -> P:
        try:
            async with asyncio.timeout(within_s):
                _, protocol = await asyncio.get_running_loop().create_connection(make, origin.host, origin.port)
        except TimeoutError:
            raise UpstreamFailure(Kind.CONNECT, "no connection in time") from None
        except OSError as error:
            raise UpstreamFailure(Kind.CONNECT, error.strerror or "no connection") from error
        return protocol


class Elsewhere:
    def __init__(self, fleet: Fleet, secret: str) -> None:
        self._fleet = fleet
        self._secret = secret
        self._http = DirectTransport(ColleagueDialer())

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        """Raises UpstreamFailure."""
        presence = self._fleet.find(target.node, monotonic())
        if presence is None or not presence.relay:
            raise UpstreamFailure(Kind.CONNECT, "the machine is not connected")
        there = msgspec.structs.replace(target, base_url=f"http://{presence.relay}/{target.node}")
        response = await self._http.send(there, self._onward(target, request, deadlines), deadlines)
        if (kind := response.headers.get(relay.FAILURE)) is None:
            return response
        response.finish()
        raise UpstreamFailure(_kind(kind), response.headers.get(relay.DETAIL, ""))

    def close(self) -> None:
        self._http.close()

    def _onward(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamRequest:
        said = (
            (relay.SECRET, self._secret),
            (relay.GUEST, "1" if target.place == GUEST else "0"),
            (relay.SLOTS, str(target.slots)),
            (relay.WAITS_MS, str(round(longest_wait_s(request, deadlines) * 1000))),
        )
        return UpstreamRequest(request.path, request.headers + said, request.body)


def _kind(word: str) -> Kind:
    return Kind(word) if word in Kind._value2member_map_ else Kind.RESET
