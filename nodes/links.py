"""The connections of nodes that this process holds: one per node, watched by one sweep instead of a timer for each.

The newest connection of a node wins. One that is leaving, because this process ends, is left to finish what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import chain, count
from time import monotonic
from typing import Any, Protocol

from nodes.heartbeat import USUAL, Heartbeat
from nodes.link import Link
from nodes.wire import DEAD, REPLACED, RESTART, REVOKED

SWEEP_S = 1.0
REMEMBERED_S = 60.0
"""Longer than a handshake takes."""

GONE = "this machine was removed"


class Owner(Protocol):
    def began(self, link: Link) -> None: ...

    def said(self, link: Link, settings: Mapping[str, Any]) -> None:
        """What a node says of itself."""

    def ended(self, link: Link, *, is_last: bool) -> None:
        """`is_last`: the node has no other connection here."""


class Links:
    def __init__(self, owner: Owner, heartbeat: Heartbeat = USUAL) -> None:
        self.heartbeat = heartbeat
        self._owner = owner
        self._links: dict[str, Link] = {}
        self._leaving: set[Link] = set()
        self._revoked: dict[str, float] = {}
        self._beats: list[set[Link]] = [set() for _ in range(heartbeat.every_s)]
        self._beat = 0
        self._next_beat = count()
        self._changed: set[Link] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._links.values()))

    def find(self, node: str) -> Link | None:
        return self._links.get(node)

    def add(self, link: Link) -> None:
        """Takes a new connection in; of two of a node the older one is closed."""
        known = self._links.get(link.node)
        if link.node in self._revoked:
            link.close(REVOKED, GONE)
            return
        if known is not None and known.generation > link.generation:
            link.close(REPLACED, "a newer connection of this node")
            return
        self._links[link.node] = link
        self._beats[next(self._next_beat) % len(self._beats)].add(link)
        self._changed.add(link)
        self._owner.began(link)
        if known is not None:
            self._part_with(known)

    def replaced(self, node: str, generation: int) -> None:
        """The node has connected elsewhere."""
        known = self._links.get(node)
        if known is not None and known.generation < generation:
            del self._links[node]
            self._part_with(known)

    def revoke(self, node: str) -> None:
        """Closes what the node has, and what it was about to have: it may have proved itself a moment before."""
        self._revoked[node] = monotonic()
        for link in [*self._leaving, self._links.get(node)]:
            if link is not None and link.node == node:
                link.close(REVOKED, GONE)

    def take_changed(self) -> set[Link]:
        """Those whose load or standing changed since this was asked last."""
        changed, self._changed = self._changed, set()
        return changed

    def close_all(self) -> None:
        for link in [*self._leaving, *self._links.values()]:
            link.close(RESTART, "restart")

    def start(self) -> None:
        self._sweeper = asyncio.create_task(self._sweep_for_ever())

    def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.close_all()

    def sweep(self, now: float) -> None:
        """Closes what was not heard of for too long; pings those whose turn it is, unless they have just spoken."""
        silent_since = now - self.heartbeat.dead_after_s
        silent = [link for link in chain(self._links.values(), self._leaving) if link.heard_at < silent_since]
        for link in silent:
            link.close(DEAD, "nothing was heard")
        self._revoked = {node: at for node, at in self._revoked.items() if at > now - REMEMBERED_S}
        beat, self._beat = self._beats[self._beat], (self._beat + 1) % len(self._beats)
        quiet_since = now - self.heartbeat.every_s
        for link in [link for link in beat if link.heard_at <= quiet_since]:
            link.ping()

    # ── what a link tells ───────────────────────────────────────────────────────────────────────────────────

    def settings_came(self, link: Link, settings: Mapping[str, Any]) -> None:
        self._owner.said(link, settings)

    def load_changed(self, link: Link) -> None:
        self._changed.add(link)

    def link_lost(self, link: Link) -> None:
        self._leaving.discard(link)
        self._changed.discard(link)
        for beat in self._beats:
            beat.discard(link)
        if is_last := self._links.get(link.node) is link:
            del self._links[link.node]
        self._owner.ended(link, is_last=is_last)

    # ── how ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _part_with(self, link: Link) -> None:
        if link.is_leaving and link.in_flight:
            self._leaving.add(link)
        else:
            link.close(REPLACED, "a newer connection of this node")

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep(monotonic())
