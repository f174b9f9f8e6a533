"""The transport of nodes: a request goes down the tunnel if its node is connected here, else by another's relay."""

from __future__ import annotations

from typing import Protocol

import msgspec

from nodes.link import head_of
from nodes.links import Links
from providers.failures import Kind, UpstreamFailure
from providers.targets import GUEST, Target
from providers.transport import Deadlines, Transport, UpstreamRequest, UpstreamResponse
from shareai_node.tunnel.session import MAX_STREAMS

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
        if link is None or link.is_leaving:
            onward = msgspec.structs.replace(request, path=path)
            return await self._others.send(target, onward, deadlines)
        return await link.ask(
            head_of(path, request.headers),
            request.body,
            guest=target.place == GUEST,
            slots=target.slots or MAX_STREAMS,
            waits_s=longest_wait_s(request, deadlines),
        )


def longest_wait_s(request: UpstreamRequest, deadlines: Deadlines) -> float:
    """For a slot of the machine: whoever has waited longer would get no first byte in time either."""
    first_byte_s = deadlines.first_byte_s if _STREAMED in request.body else deadlines.first_byte_unary_s
    return first_byte_s * _SHARE_WAITED


_STREAMED = b'"stream":true'
"""In no string of a body does this stand, for there its quotes would be escaped."""

_SHARE_WAITED = 0.95
"""So that it ends as a wait, which says nothing against the machine, and not as a first byte that never came."""


class Nobody:
    """For a process that knows of no other."""

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        raise UpstreamFailure(Kind.CONNECT, "the machine is not connected")
