"""The way to a node that another process holds: by that process's relay, whose address is in the node's presence.

A relay is to this process what a machine is: a link that carries requests, which all machines over there share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

import msgspec

from nodes import relay
from nodes.fleet import Fleet
from nodes.heartbeat import USUAL, Heartbeat
from nodes.link import Link, head_of
from nodes.pipe import Pipe
from nodes.transport import longest_wait_s
from nodes.wire import DEAD, RESTART
from providers.failures import Kind, UpstreamFailure
from providers.targets import GUEST, Target
from providers.transport import Deadlines, UpstreamRequest, UpstreamResponse
from shareai_node.tunnel.session import MAX_STREAMS

DIAL_S = 5.0

_encode = msgspec.json.Encoder().encode


class Elsewhere:
    def __init__(self, fleet: Fleet, secret: str) -> None:
        self._fleet = fleet
        self._lines = Lines(secret, fleet.heartbeat)

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        """Raises UpstreamFailure."""
        presence = self._fleet.find(target.node, monotonic())
        if presence is None or not presence.relay:
            raise UpstreamFailure(Kind.CONNECT, "the machine is not connected")
        link = self._lines.find(presence.relay) or await self._lines.dial(presence.relay, deadlines.connect_s)
        answer = await link.ask(_head(target, request, deadlines), request.body)
        if (kind := answer.headers.get(relay.FAILURE)) is None:
            return answer
        answer.close()
        raise UpstreamFailure(_kind(kind), answer.headers.get(relay.DETAIL, ""))

    def close(self) -> None:
        self._lines.close()


class Lines:
    """Connections to relays: one to each, more while one has no stream left."""

    def __init__(self, secret: str, heartbeat: Heartbeat = USUAL) -> None:
        self._secret = secret
        self._heartbeat = heartbeat
        self._links: dict[str, list[Link]] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}

    def find(self, address: str) -> Link | None:
        """A connection that takes one more request now."""
        for link in self._links.get(address, ()):
            if link.can_open and not link.is_leaving:
                return link
        return None

    async def dial(self, address: str, within_s: float) -> Link:
        """As `find`, of one that is made now; whoever asks meanwhile waits for the same. Raises UpstreamFailure."""
        try:
            async with asyncio.timeout(within_s):
                while (link := self.find(address)) is None:
                    await asyncio.shield(self._dialling.get(address) or self._begin(address))
        except TimeoutError:
            raise UpstreamFailure(Kind.CONNECT, "no connection in time") from None
        except OSError as error:
            raise UpstreamFailure(Kind.CONNECT, error.strerror or "no connection") from error
        return link

    def close(self) -> None:
        for task in self._dialling.values():
            task.cancel()
        for links in list(self._links.values()):
            for link in list(links):
                link.close(RESTART, "restart")

    def _begin(self, address: str) -> asyncio.Task[None]:
        task = self._dialling[address] = asyncio.get_running_loop().create_task(self._dial(address))
        task.add_done_callback(lambda done: self._over(address, done))
        return task

    def _over(self, address: str, task: asyncio.Task[None]) -> None:
        self._dialling.pop(address, None)
        if not task.cancelled():
            task.exception()  # looked at, also where nobody waits any more

    async def _dial(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        async with asyncio.timeout(DIAL_S):
            _, pipe = await asyncio.get_running_loop().create_connection(Pipe, host.strip("[]"), int(port))
        link = Link(address, 0, pipe, self)
        pipe.take_over(link)
        self._links.setdefault(address, []).append(link)
        link.send_settings({"secret": self._secret})
        self._beat(link)

    def _beat(self, link: Link) -> None:
        """A process that is frozen, or behind a line that is dead, says nothing."""
        if link not in self._links.get(link.node, ()):
            return
        if link.heard_at < monotonic() - self._heartbeat.dead_after_s:
            link.close(DEAD, "nothing was heard")
            return
        link.ping()
        asyncio.get_running_loop().call_later(self._heartbeat.every_s, self._beat, link)

    # what a link tells

    def settings_came(self, link: Link, settings: Mapping[str, Any]) -> None:
        """A relay has nothing to say of itself."""

    def load_changed(self, link: Link) -> None: ...

    def link_lost(self, link: Link) -> None:
        links = self._links[link.node]
        links.remove(link)
        if not links:
            del self._links[link.node]


def _head(target: Target, request: UpstreamRequest, deadlines: Deadlines) -> bytes:
    errand = relay.Errand(
        target.node,
        msgspec.Raw(head_of(request.path, request.headers)),
        target.slots or MAX_STREAMS,
        round(longest_wait_s(request, deadlines) * 1000),
        target.place == GUEST,
    )
    return _encode(errand)


def _kind(word: str) -> Kind:
    return Kind(word) if word in Kind._value2member_map_ else Kind.RESET
