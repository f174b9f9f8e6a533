"""What the holder of sockets is told about its nodes, and does: close those revoked, send changed settings, let go of
those that connected elsewhere.

Redis tells within milliseconds. PostgreSQL is asked every few seconds as well: Redis may be away, and messages lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from time import monotonic

import msgspec
import redis.asyncio as aioredis
from django.db import DatabaseError
from django.utils import timezone
from redis.exceptions import RedisError

from nodes import admission
from nodes.admission import Standing
from nodes.announcements import CHANGED, PRESENCE, REVOKED
from nodes.fleet import Presence
from nodes.links import Links
from nodes.models import Node
from nodes.threads import in_thread

RETRY_S = 1.0
POLL_S = 4.0
SEEN_S = 60.0
_OVERLAP = timedelta(seconds=10)
"""A transaction may commit a row whose time is older than the last look."""

logger = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(Presence).decode


class News(msgspec.Struct, frozen=True):
    """Of the nodes asked about: those not wanted any more, those with a newer connection, those that were changed."""

    revoked: list[str]
    replaced: dict[str, int]
    changed: list[Standing]


class Orders:
    def __init__(self, redis_url: str, links: Links) -> None:
        self._redis_url = redis_url
        self._links = links

    async def listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                logger.warning("not hearing of changes of nodes, polling only: %s", error)
            await asyncio.sleep(RETRY_S)

    async def poll_for_ever(self) -> None:
        since, seen_at = timezone.now(), monotonic()
        while True:
            await asyncio.sleep(POLL_S)
            now, held = timezone.now(), {link.node: link.generation for link in self._links}
            if not held:
                continue
            try:
                self._apply(await in_thread(find_news, held, since - _OVERLAP))
                if monotonic() - seen_at > SEEN_S:
                    seen_at = monotonic()
                    await in_thread(admission.note_seen, list(held))
            except DatabaseError as error:
                logger.warning("nodes were not looked up: %s", error)
                continue
            since = now

    async def _listen(self) -> None:
        async with (
            aioredis.Redis.from_url(self._redis_url, health_check_interval=10) as client,
            client.pubsub() as pubsub,
        ):
            await pubsub.subscribe(REVOKED, CHANGED, PRESENCE)
            async for message in pubsub.listen():
                if message["type"] == "message":
                    await self._heed(message["channel"].decode(), message["data"])

    async def _heed(self, channel: str, data: bytes) -> None:
        if channel == PRESENCE:
            self._heed_presence(data)
            return
        node = data.decode("utf-8", "replace")
        if channel == REVOKED:
            self._links.revoke(node)
        elif self._links.find(node) is not None:
            await self._send_config(node)

    def _heed_presence(self, data: bytes) -> None:
        try:
            presence = _decode(data)
        except msgspec.DecodeError:
            return
        if presence.connected:
            self._links.replaced(presence.node, presence.generation)

    async def _send_config(self, node: str) -> None:
        try:
            standing = await in_thread(admission.load_standing, node)
        except DatabaseError as error:
            logger.warning("node %s was not told of its change yet: %s", node, error)
            return
        if standing is not None:
            self._apply(News([], {}, [standing]))

    def _apply(self, news: News) -> None:
        for node in news.revoked:
            self._links.revoke(node)
        for node, generation in news.replaced.items():
            self._links.replaced(node, generation)
        for standing in news.changed:
            if (link := self._links.find(standing.public_id)) is not None:
                link.send_settings({"config": standing.config})


def find_news(held: Mapping[str, int], since: datetime) -> News:
    """Of `held`, nodes with the generations of their connections here. For a thread."""
    rows = Node.objects.filter(public_id__in=list(held), revoked_at=None, org__deleted_at=None)
    known = dict(rows.values_list("public_id", "generation"))
    changed = rows.filter(updated_at__gt=since).values_list("public_id", flat=True)
    return News(
        revoked=[node for node in held if node not in known],
        replaced={node: generation for node, generation in known.items() if generation > held[node]},
        changed=admission.load_standings(list(changed)),
    )
