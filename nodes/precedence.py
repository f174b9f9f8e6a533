"""The owner's jobs go first: which requests of others give way when one of the owner's meets a full node.

Whether a guest is let in at all is `nodes.fleet.Fleet.refusal`; this is for those that are in already.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Job(msgspec.Struct, frozen=True):
    """A request on a node. `started` is monotonic; `delivered` says that its caller has seen content."""

    stream: int
    is_guest: bool
    started: float
    delivered: bool = False


def giving_way(jobs: Iterable[Job], slots: int) -> int | None:
    """The stream to reset so that an owner's job finds a slot; None when one is free, or nobody there can give way.

    The newest goes first, and before any that has delivered one that has not: nobody notices that but the next
    target, to which it fails over.
    """
    running = list(jobs)
    guests = [job for job in running if job.is_guest]
    if len(running) < slots or not guests:
        return None
    return max(guests, key=lambda job: (not job.delivered, job.started)).stream
