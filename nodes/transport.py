"""The transport of nodes: a request goes down the tunnel if its node is connected here, else by another's relay."""

from __future__ import annotations

from typing import Protocol

import msgspec

from nodes.links import Links
from providers.failures import Kind, UpstreamFailure
from providers.targets import GUEST, Target
from providers.transport import Deadlines, Transport, UpstreamRequest, UpstreamResponse

PREFIX = "/v1"
"""Stands before a request's path on the machine, whose own base URL the console never learns to dial."""


class Others(Protocol):
    """How nodes are reached that another process holds."""

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        """Raises UpstreamFailure."""


class TunnelTransport(Transport):
    def __init__(self, links: Links, others: Others) -> None:
        self._links = links
        self._others = others

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        link, path = self._links.find(target.node), PREFIX + request.path
        if link is None or not link.can_open:
            onward = msgspec.structs.replace(request, path=path)
            return await self._others.send(target, onward, deadlines)
        return await link.ask(path, request.headers, request.body, guest=target.place == GUEST, slots=target.slots)


class Nobody:
    """For a process that knows of no other."""

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        raise UpstreamFailure(Kind.CONNECT, "the machine is not connected")
