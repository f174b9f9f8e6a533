"""The seam between the failover loop and the wire: a request goes in, an upstream's answer comes out.

Two transports stand behind it (direct HTTP here, the tunnel of a node elsewhere), and one suite of contract
tests runs over all of them. A transport raises nothing but `UpstreamFailure`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec

from providers.targets import Target


class UpstreamRequest(msgspec.Struct, frozen=True):
    """`path` is joined to the target's base URL; `headers` go out besides those of the transport."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds. `connect_s` covers TCP and TLS, `idle_s` the silence within a stream.

    A whole answer sends its first byte when its last token is made, so it has a longer time than a stream.
    """

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    first_byte_unary_s: float = 300.0
    idle_s: float = 60.0
    total_unary_s: float = 600.0
    total_stream_s: float = 1800.0


class UpstreamResponse(ABC):
    """An answer whose head has arrived. Whoever holds it must call `close`, however things end."""

    status: int
    headers: Mapping[str, str]

    @abstractmethod
    async def read(self, limit_bytes: int) -> bytes:
        """The whole body. Raises UpstreamFailure TOO_LARGE beyond `limit_bytes`, RESET if it is cut short."""

    @abstractmethod
    async def next_chunk(self) -> bytes:
        """The next bytes as they arrive, `b""` at a clean end. Raises UpstreamFailure if it ends otherwise."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the connection; tells the upstream to stop if it has not finished. Idempotent."""


class Transport(ABC):
    @abstractmethod
    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        """Sends and waits for the head of the answer. Raises UpstreamFailure."""
