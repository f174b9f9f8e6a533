"""An answer that comes through a tunnel: the response that the transport gives out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Annotated, Protocol

import msgspec

from providers.failures import Kind, UpstreamFailure
from providers.inflation import Inflater, inflater
from providers.inflow import Inflow

LINGER_S = 0.2
"""How long the end of an answer is awaited after all that matters was said."""

MOST_HEADERS = 64


class Head(msgspec.Struct, frozen=True):
    """What a node sends before the body."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)]
    headers: Annotated[dict[str, str], msgspec.Meta(max_length=MOST_HEADERS)] = {}


_decode = msgspec.json.Decoder(Head).decode


class NodeHeaders(Mapping[str, str]):
    """Found in any case; few are ever asked for."""

    __slots__ = ("given",)

    def __init__(self, given: dict[str, str]) -> None:
        self.given = given

    def __getitem__(self, name: str) -> str:
        wanted = name.lower()
        for given, value in self.given.items():
            if given == wanted or given.lower() == wanted:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({name.lower() for name in self.given})

    def __len__(self) -> int:
        return len({name.lower() for name in self.given})


class Carrier(Protocol):
    """The connection that carries an answer's stream."""

    def let_go(self, answer: Answer) -> None:
        """Nobody wants the rest."""

    def has_taken(self, stream: int, size: int) -> None:
        """So many bytes have found their reader."""


class Answer(Inflow):
    """Args: guest: for an organisation that does not own the node."""

    __slots__ = (
        "_carrier",
        "_end",
        "_inflater",
        "_is_held_back",
        "_kept",
        "_owed",
        "_waiting",
        "guest",
        "headers",
        "started",
        "status",
        "stream",
    )

    def __init__(self, carrier: Carrier, stream: int, guest: bool) -> None:
        super().__init__()
        self.status = 0
        self.stream = stream
        self.guest = guest
        self.started = monotonic()
        self._carrier = carrier
        self._inflater: Inflater | None = None
        self._is_held_back = False
        self._kept: list[bytes] = []
        """What was under way when the reader had enough; the stream's credit bounds it."""

        self._end: tuple[UpstreamFailure | None] | None = None
        """How it ended, to be told when what is kept has been taken."""

        self._owed = 0
        self._waiting: asyncio.Future[None] | None = None

    # What the one who asks does

    async def wait_for_head(self) -> None:
        """Raises: UpstreamFailure: none came."""
        while not self.status and not self.is_over:
            await self.stirs()
        if not self.status:
            await self.next_chunk()

    async def stirs(self) -> None:
        """Returns when the head has come, when there is room for more of the request, or when all is over."""
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def finish(self) -> None:
        self.detach()
        self._let_flow()
        asyncio.get_running_loop().call_later(LINGER_S, self._carrier.let_go, self)

    def close(self) -> None:
        self.detach()
        self._carrier.let_go(self)

    def _hold_back(self) -> None:
        self._is_held_back = True

    def _let_flow(self) -> None:
        self._is_held_back = False
        if self._owed:
            owed, self._owed = self._owed, 0
            self._carrier.has_taken(self.stream, owed)
        if self._kept:
            kept, self._kept = b"".join(self._kept), []
            self.receive(kept)
        if self._end is not None and not self._is_held_back:
            super().end(*self._end)

    # What the carrier tells

    def head(self, payload: bytes) -> None:
        """Raises: UpstreamFailure: MALFORMED."""
        try:
            head = _decode(payload)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UpstreamFailure(Kind.MALFORMED, "no valid head of an answer") from error
        self.headers = NodeHeaders(head.headers)
        if (encoding := self.headers.get("content-encoding")) is not None:
            self._inflater = inflater(encoding.strip().lower())
        self.status = head.status
        self.stir()

    def body(self, data: bytes) -> None:
        """Raises: UpstreamFailure: it does not inflate."""
        size = len(data)
        if self._inflater is not None and not self.is_over:
            data = self._inflater.feed(data)
        if self._is_held_back:
            self._owed += size
            self._kept.append(data)
            return
        if data:
            self.receive(data)
        if self._is_held_back:
            self._owed += size
        else:
            self._carrier.has_taken(self.stream, size)

    def end(self, failure: UpstreamFailure | None = None) -> None:
        if self._kept:
            self._end = (failure,)
        else:
            super().end(failure)
        self.stir()

    def stir(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
