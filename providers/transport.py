"""The seam between the failover loop and the wire: a request goes in, an upstream's answer comes out.

Two transports stand behind it (direct HTTP here, the tunnel of a node elsewhere), and one suite of contract
tests runs over all of them. A transport raises nothing but `UpstreamFailure`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

import msgspec

from providers.failures import UpstreamFailure
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


class Follower(Protocol):
    """Who takes a body as it arrives, in the very step of the loop that received it: no task wakes per chunk."""

    def data(self, chunk: bytes) -> None:
        """The next bytes, never empty. Must not raise."""

    def ended(self, failure: UpstreamFailure | None) -> None:
        """Nothing follows: the body was whole, or `failure` says what became of it. Called once."""


class UpstreamResponse(ABC):
    """An answer whose head has arrived. Whoever holds it must call `close` or `finish`, however things end."""

    status: int
    headers: Mapping[str, str]

    @abstractmethod
    async def read(self, limit_bytes: int) -> bytes:
        """The whole body. Raises UpstreamFailure TOO_LARGE beyond `limit_bytes`, RESET if it is cut short."""

    @abstractmethod
    async def next_chunk(self) -> bytes:
        """The next bytes as they arrive, `b""` at a clean end. Raises UpstreamFailure if it ends otherwise."""

    @abstractmethod
    def follow(self, follower: Follower) -> None:
        """From now on bytes go to `follower`, first those that wait here already; `next_chunk` is over."""

    @abstractmethod
    def pause(self) -> None:
        """The follower is full: the upstream is held back, after at most what was under way."""

    @abstractmethod
    def resume(self) -> None:
        """The follower takes more."""

    @abstractmethod
    def finish(self) -> None:
        """All that matters has been said: gives the upstream a moment to end, so that its connection serves again."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the connection; tells the upstream to stop if it has not finished. Idempotent."""


class Transport(ABC):
    @abstractmethod
    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        """Sends and waits for the head of the answer. Raises UpstreamFailure."""
