"""Tells of the nodes that this process holds: to its own fleet at once, to everybody else by way of Redis.

What changes with each request (how many are in flight) is told four times a second at most, all nodes in one go. Keys
expire with the heartbeat, so a process that dies need not say that its nodes are gone. With Redis away the nodes
serve on, for the requests that come to this process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from time import monotonic

import msgspec
import redis.asyncio as aioredis
from redis.exceptions import RedisError

from nodes.announcements import PRESENCE, PRESENCE_PREFIX, VITALS_PREFIX
from nodes.fleet import DEAD_AFTER_S, Fleet, Presence
from nodes.link import Link
from nodes.links import Links
from nodes.reports import Report, State

TELL_S = 0.25
REFRESH_S = 10.0
_AT_ONCE = 500

_TELL = """
local known = redis.call('GET', KEYS[1])
local since = known and tonumber(string.match(known, '"generation":(%d+)')) or 0
if since > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
_FORGET = """
local known = redis.call('GET', KEYS[1])
if known and string.match(known, '"generation":(%d+)') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class Herald:
    """Args: relay: where this process takes requests for its nodes."""

    def __init__(self, redis_url: str, fleet: Fleet, links: Links) -> None:
        self._redis_url = redis_url
        self._fleet = fleet
        self._links = links
        self._said: dict[Link, Report] = {}
        self._vitals: dict[str, bytes] = {}
        self._gone: list[Presence] = []
        self.relay = ""

    def note(self, link: Link, report: Report) -> None:
        """Keeps state and vitals, which stand in Redis only."""
        if report.state is None and report.vitals is None:
            return
        known = self._said.get(link, Report())
        said = Report(state=report.state or known.state, vitals=report.vitals or known.vitals)
        self._said[link] = said
        self._vitals[link.node] = _encode(said)
        self._links.load_changed(link)

    def ended(self, link: Link, *, is_last: bool) -> None:
        self._said.pop(link, None)
        if is_last:
            gone = Presence(link.node, connected=False, generation=link.generation)
            self._fleet.note(gone, monotonic())
            self._gone.append(gone)

    async def tell_for_ever(self) -> None:
        refreshed = monotonic()
        async with aioredis.Redis.from_url(self._redis_url, health_check_interval=10) as client:
            while True:
                await asyncio.sleep(TELL_S)
                changed: Iterable[Link] = self._links.take_changed()
                if monotonic() - refreshed > REFRESH_S:
                    changed, refreshed = list(self._links), monotonic()
                presences = [self._presence(link) for link in changed if self._links.find(link.node) is link]
                for presence in presences:
                    self._fleet.note(presence, monotonic())
                await self._tell(client, presences)

    async def tell_last(self) -> None:
        """When this process ends."""
        async with aioredis.Redis.from_url(self._redis_url) as client:
            await self._tell(client, [])

    def _presence(self, link: Link) -> Presence:
        said = self._said.get(link)
        state = (said.state if said is not None else None) or _NO_STATE
        queue = said.vitals.queue if said is not None and said.vitals is not None else None
        return Presence(
            node=link.node,
            generation=link.generation,
            relay=self.relay,
            accepting=state.accepting and not link.is_leaving,
            reason="draining" if link.is_leaving else state.reason,
            in_flight=link.in_flight,
            guests_in_flight=link.guests_in_flight,
            queue=queue or 0,
        )

    async def _tell(self, client: aioredis.Redis, presences: list[Presence]) -> None:
        gone, self._gone = self._gone, []
        vitals, self._vitals = self._vitals, {}
        if not (presences or gone or vitals):
            return
        try:
            for start in range(0, max(len(presences), 1), _AT_ONCE):
                async with client.pipeline(transaction=False) as pipeline:
                    for presence in presences[start : start + _AT_ONCE]:
                        _tell_one(pipeline, presence)
                    if start == 0:
                        _tell_rest(pipeline, gone, vitals)
                    await pipeline.execute()
        except (RedisError, OSError) as error:
            logger.warning("nobody else hears of the nodes here: %s", error)


_NO_STATE = State(mode="always", accepting=True)
_EXPIRES_S = str(round(DEAD_AFTER_S))


def _tell_one(pipeline: aioredis.client.Pipeline, presence: Presence) -> None:
    text = _encode(presence)
    pipeline.eval(_TELL, 1, PRESENCE_PREFIX + presence.node, str(presence.generation), text, _EXPIRES_S)
    pipeline.publish(PRESENCE, text)


def _tell_rest(pipeline: aioredis.client.Pipeline, gone: list[Presence], vitals: dict[str, bytes]) -> None:
    for presence in gone:
        pipeline.eval(_FORGET, 1, PRESENCE_PREFIX + presence.node, str(presence.generation))
        pipeline.publish(PRESENCE, _encode(presence))
    for node, text in vitals.items():
        pipeline.set(VITALS_PREFIX + node, text, ex=round(DEAD_AFTER_S))
