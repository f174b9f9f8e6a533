"""The transport of nodes: a request goes down the tunnel if its node is connected here, else by way of its relay."""

from __future__ import annotations

from typing import Protocol

from nodes.links import Links
from providers.failures import Kind, UpstreamFailure
from providers.targets import Target
from providers.transport import Deadlines, Transport, UpstreamRequest, UpstreamResponse

NODE_SCHEME = "node://"
PREFIX = "/v1"
"""Stands before a request's path on the machine, whose own base URL the console never learns to dial."""


class Elsewhere(Protocol):
    """How nodes are reached that another process holds."""

    async def send(self, node: str, request: UpstreamRequest, within_s: float, *, guest: bool) -> UpstreamResponse:
        """Raises UpstreamFailure."""


class TunnelTransport(Transport):
    def __init__(self, links: Links, elsewhere: Elsewhere) -> None:
        self._links = links
        self._elsewhere = elsewhere

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        node = target.base_url.removeprefix(NODE_SCHEME)
        link = self._links.find(node)
        guest = False
        if link is not None and link.can_open:
            return await link.ask(PREFIX + request.path, request.headers, request.body, guest=guest)
        return await self._elsewhere.send(node, request, deadlines.connect_s, guest=guest)


class Nowhere:
    """For a process that knows of no other."""

    async def send(self, node: str, request: UpstreamRequest, within_s: float, *, guest: bool) -> UpstreamResponse:
        raise UpstreamFailure(Kind.CONNECT, "the machine is not connected")
