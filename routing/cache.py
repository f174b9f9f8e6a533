"""Answers given again, and asked for once: the cache and its single flight.

    wanted ──► Memory ──► in flight already? join : begin ──► Redis ──► upstream ──► Memory, Redis, all who joined

A hit costs its caller nothing and is recorded as such. Where no rule covers a request, nothing here is looked at.
"""

from __future__ import annotations

from time import time

from metering.usage import MISS
from routing.asked import Ask, Asked
from routing.cache_entries import Entry
from routing.cache_keys import Wanted
from routing.cache_replies import hit_reply
from routing.cache_share import Share, ShareFailed
from routing.cache_similar import Similarity
from routing.cache_store import Memory, Shelf
from routing.flights import Flights
from routing.replies import Reply, StreamReply

PATIENCE_S = 5.0
"""Those who share wait this much longer than what they share, so that it is the upstream's end that they hear of."""


class Cache:
    """One per process. Without a `shelf` it knows only what this process has heard."""

    def __init__(self, flights: Flights, shelf: Shelf | None = None) -> None:
        self._flights = flights
        self._memory = Memory()
        self._shelf = shelf
        self._shares: dict[bytes, Share] = {}
        self.similarity: Similarity | None = None
        """Set once there is a gateway that it can ask."""

    async def serve(self, wanted: Wanted, asked: Asked, ask: Ask) -> Reply | StreamReply:
        """What was kept, or a part in what is being asked, or what `ask` brings.

        When what is being asked fails, one of those who wait asks again, once; a second failure is everybody's.

        Raises:
            RejectedUpstream, ShareAIError: as `ask`.
        """
        if (entry := self._find(wanted)) is not None:
            return hit_reply(entry, asked)
        asked.settlement.cache = MISS
        if wanted.similar is not None and (reply := await self._similar(wanted, asked)) is not None:
            return reply
        _be_patient(asked)
        for may_fail in (True, False):
            share = self._shares.get(wanted.digest) if wanted.freshness.reads else None
            if share is None or not share.may_be_joined:
                share = self._begin(wanted, ask)
            try:
                found = await share.reply(asked, fails=not may_fail)
            except ShareFailed:
                continue
            return hit_reply(found, asked) if isinstance(found, Entry) else found
        return await ask(asked)

    def reply(self, wanted: Wanted, asked: Asked) -> Reply | None:
        """What this process has heard lately, if it has."""
        entry = self._find(wanted)
        return None if entry is None else hit_reply(entry, asked)

    async def free(self, wanted: Wanted, asked: Asked) -> Reply | StreamReply | None:
        """What costs nobody anything: what was kept, or a part in what somebody else already pays for.

        Raises:
            RejectedUpstream: the request itself is at fault, as whoever pays has been told.
        """
        if not wanted.freshness.reads:
            return None
        if (entry := self._find(wanted) or await self._kept(wanted)) is not None:
            return hit_reply(entry, asked)
        share = self._shares.get(wanted.digest)
        if share is None or not (share.may_be_joined and share.is_paid):
            return None
        _be_patient(asked)
        try:
            found = await share.reply(asked, fails=False)
        except ShareFailed:
            return None
        return hit_reply(found, asked) if isinstance(found, Entry) else found

    async def _kept(self, wanted: Wanted) -> Entry | None:
        """In Redis."""
        entry = await self._shelf.find(wanted.org_id, wanted.digest) if self._shelf is not None else None
        if entry is None or entry.age_s(time()) > wanted.oldest_s:
            return None
        self._memory.keep(wanted.digest, entry)
        return entry

    async def _similar(self, wanted: Wanted, asked: Asked) -> Reply | None:
        """What Redis has of the very same comes first: it costs no embedding."""
        share = self._shares.get(wanted.digest)
        if self.similarity is None or (share is not None and share.may_be_joined):
            return None
        if wanted.freshness.reads and (entry := await self._kept(wanted)) is not None:
            return hit_reply(entry, asked)
        found = await self.similarity.find(wanted, self._memory, self._shelf)
        return hit_reply(found[0], asked, similarity=found[1]) if found is not None else None

    def _find(self, wanted: Wanted) -> Entry | None:
        if not wanted.freshness.reads:
            return None
        entry = self._memory.find(wanted.digest)
        if entry is None:
            return None
        age_s = entry.age_s(time())
        if age_s > wanted.rule.ttl_s:
            self._memory.drop(wanted.digest)
        return entry if age_s <= wanted.oldest_s else None

    def _begin(self, wanted: Wanted, ask: Ask) -> Share:
        share = Share(wanted, ask, self._flights, self._memory, self._shelf, self._forget)
        if wanted.freshness.reads or wanted.freshness.stores:
            self._shares.setdefault(wanted.digest, share)
        return share

    def _forget(self, share: Share) -> None:
        if self._shares.get(share.wanted.digest) is share:
            del self._shares[share.wanted.digest]


def _be_patient(asked: Asked) -> None:
    flight = asked.flight
    flight.idle_s += PATIENCE_S
    if flight.deadline is not None:
        flight.deadline += PATIENCE_S
