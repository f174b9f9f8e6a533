"""A planned request on its way to an answer, with those who follow it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from accounts.authentication import Caller
from providers.schema import Call
from routing.failover import Enter, Trail
from routing.flights import Flight
from routing.plans import Plan
from routing.replies import Reply, StreamReply
from routing.settlement import Settlement


@dataclass(slots=True, eq=False)
class Asked:
    call: Call
    plan: Plan
    trail: Trail
    settlement: Settlement
    flight: Flight
    enter: Enter | None = None


Ask = Callable[[Asked], Awaitable[Reply | StreamReply]]
"""Asks an upstream. Raises RejectedUpstream and ShareAIError, which are then still to be recorded."""


class Spared(Exception):
    """A request is at its end before it was paid for: here is its answer, for nothing."""

    def __init__(self, reply: Reply | StreamReply) -> None:
        super().__init__()
        self.reply = reply


class Serves(Protocol):
    """The gateway, or what stands in front of it."""

    async def serve(self, call: Call, caller: Caller, flight: Flight) -> Reply | StreamReply: ...
