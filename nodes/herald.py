"""Tells of the nodes that this process holds: to its own fleet at once, to everybody else by way of Redis.

What changes with each request (how many are in flight) is told once a second at most, all nodes in one go. Keys
expire with the heartbeat, so a process that dies need not say that its nodes are gone. With Redis away the nodes
serve on, for the requests that come to this process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic, time

import msgspec
import redis.asyncio as aioredis
from redis.exceptions import RedisError

from nodes.announcements import PRESENCE, PRESENCE_PREFIX, VITALS_PREFIX
from nodes.fleet import Fleet, Presence
from nodes.history import ANYWAY_S, EVERY_S, Diary, Sample, append, sample_of
from nodes.link import Link
from nodes.links import Links
from nodes.reports import Report, State

TELL_S = 0.25
"""For who came, went, or takes work no more."""

TELL_LOAD_S = 1.0
_AT_ONCE = 500

_TELL = """
for number, key in ipairs(KEYS) do
  local known = redis.call('GET', key)
  local generation = known and tonumber(string.match(known, '"generation":(%d+)')) or 0
  if generation <= tonumber(ARGV[2 * number]) then redis.call('SET', key, ARGV[2 * number + 1], 'EX', ARGV[1]) end
end
"""
"""What a newer connection has said stays."""

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
        self._urgent: set[Link] = set()
        self._diary = Diary()
        self.relay = ""

    def began(self, link: Link) -> None:
        self._urgent.add(link)

    def note(self, link: Link, report: Report) -> None:
        """Keeps state and vitals, which stand in Redis only."""
        if report.state is None and report.vitals is None:
            return
        known = self._said.get(link, Report())
        said = Report(state=report.state or known.state, vitals=report.vitals or known.vitals)
        self._said[link] = said
        self._vitals[link.node] = _encode(said)
        if said.state != known.state:
            self._urgent.add(link)
        elif _queue_of(said) != _queue_of(known):
            self._links.load_changed(link)

    def ended(self, link: Link, *, is_last: bool) -> None:
        self._said.pop(link, None)
        self._urgent.discard(link)
        if is_last:
            self._diary.forget(link.node)
            gone = Presence(link.node, connected=False, generation=link.generation)
            self._fleet.note(gone, monotonic())
            self._gone.append(gone)

    async def tell_for_ever(self) -> None:
        loads_at = refreshed_at = sampled_at = monotonic()
        async with aioredis.Redis.from_url(self._redis_url, health_check_interval=10) as client:
            while True:
                await asyncio.sleep(TELL_S)
                now, (changed, self._urgent) = monotonic(), (self._urgent, set())
                if now - loads_at >= TELL_LOAD_S:
                    changed, loads_at = changed | self._links.take_changed(), now
                news, rest = self._presences(changed, now), []
                if now - refreshed_at >= self._fleet.heartbeat.every_s:
                    rest, refreshed_at = self._presences(set(self._links) - changed, now), now
                samples: Mapping[str, Sample] = {}
                if now - sampled_at >= EVERY_S:
                    samples, sampled_at = self._samples(time()), now
                await self._tell(client, news, rest, samples)

    async def tell_last(self) -> None:
        """When this process ends."""
        async with aioredis.Redis.from_url(self._redis_url) as client:
            await self._tell(client, [], [], {})

    def _presences(self, links: set[Link], now: float) -> list[Presence]:
        presences = [self._presence(link) for link in links if self._links.find(link.node) is link]
        for presence in presences:
            self._fleet.note(presence, now)
        return presences

    def _presence(self, link: Link) -> Presence:
        said = self._said.get(link)
        state = (said.state if said is not None else None) or _NO_STATE
        return Presence(
            node=link.node,
            generation=link.generation,
            relay=self.relay,
            accepting=state.accepting and not link.is_leaving,
            reason="draining" if link.is_leaving else state.reason,
            in_flight=link.in_flight,
            guests_in_flight=link.guests_in_flight,
            queue=_queue_of(said),
        )

    def _samples(self, at_s: float) -> dict[str, Sample]:
        """Of the nodes that have something new to remember. With it goes what they said last, lest that expire."""
        found = {}
        for link in self._links:
            said = self._said.get(link, Report())
            sample = sample_of(said.vitals, link.in_flight, _queue_of(said), at_s)
            if self._links.find(link.node) is link and self._diary.wants(link.node, sample):
                found[link.node] = sample
                self._vitals.setdefault(link.node, _encode(said))
        return found

    async def _tell(
        self, client: aioredis.Redis, news: list[Presence], rest: list[Presence], samples: Mapping[str, Sample]
    ) -> None:
        """`rest` has nothing new, and is kept from expiring."""
        gone, self._gone = self._gone, []
        vitals, self._vitals = self._vitals, {}
        if not (news or rest or gone or vitals or samples):
            return
        try:
            async with client.pipeline(transaction=False) as pipeline:
                _keep(pipeline, [*news, *rest], round(self._fleet.heartbeat.dead_after_s))
                for presence in gone:
                    pipeline.eval(_FORGET, 1, PRESENCE_PREFIX + presence.node, str(presence.generation))
                for presence in (*news, *gone):
                    pipeline.publish(PRESENCE, _encode(presence))
                for node, text in vitals.items():
                    pipeline.set(VITALS_PREFIX + node, text, ex=_VITALS_LIVE_S)
                for node, sample in samples.items():
                    append(pipeline, node, sample)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            logger.warning("nobody else hears of the nodes here: %s", error)


_NO_STATE = State(mode="always", accepting=True)
_VITALS_LIVE_S = round(2 * ANYWAY_S)
"""Longer than presence: a machine says them again only when they change. Without presence they count for nothing."""


def _queue_of(said: Report | None) -> int:
    """All that others hear of a machine's vitals; the rest is for pages, which read it in Redis."""
    vitals = said.vitals if said is not None else None
    return (vitals.queue or 0) if vitals is not None else 0


def _keep(pipeline: aioredis.client.Pipeline, presences: list[Presence], lives_s: int) -> None:
    for start in range(0, len(presences), _AT_ONCE):
        part = presences[start : start + _AT_ONCE]
        keys = [PRESENCE_PREFIX + presence.node for presence in part]
        words = [word for presence in part for word in (str(presence.generation), _encode(presence))]
        pipeline.eval(_TELL, len(part), *keys, str(lives_s), *words)
