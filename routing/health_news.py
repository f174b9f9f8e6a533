"""Health as all processes share it: what breakers do here goes out, what others, probes and people know comes in.

    Breaker opens or closes → HealthNews.tell → (joined for a moment) → rows
    word by Redis, or a look once a second → rows → Health

Rows are the truth, and they are few: what is well has none. With Redis away news comes by looking; with PostgreSQL
away everybody goes on with what is known, and breakers work for themselves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from time import monotonic

import msgspec
import redis.asyncio as aioredis
from redis.exceptions import RedisError

from accounts.channel import HEALTH
from routing.health import Breaker, Health, OutOfUse

LOOK_S = 1.0
JOIN_S = 0.2
"""A breaker that opens and closes again within this time is no news."""
RETRY_S = 1.0
ANY_TARGET = 0
"""The id of no target."""

logger = logging.getLogger(__name__)


class Told(msgspec.Struct, frozen=True):
    """What a breaker here did. `until` is Unix time, None when it closed."""

    target_id: int
    credential_id: int
    until: float | None
    reason: str


class Known(msgspec.Struct, frozen=True):
    """A shared breaker. `change` numbers its changes; `until` is Unix time."""

    target_id: int
    credential_id: int
    is_open: bool
    until: float
    change: int


class Shared(msgspec.Struct, frozen=True):
    """All that is not well, and breakers that closed a short time ago. Of who is out of use: reason, and until when
    in Unix time, None for no end. `returned` are keys that came back into use a short time ago, and when."""

    out_of_use: dict[int, tuple[str, float | None]]
    breakers: list[Known]
    returned: list[tuple[int, float]] = []


Look = Callable[[], Awaitable[Shared]]
Write = Callable[[list[Told]], Awaitable[None]]


class HealthNews:
    """
    Args:
        look: reads the rows.
        write: writes what breakers did; the first process that tells of an outage makes it known.
        unavailable: what `look` and `write` raise while PostgreSQL is away.
    """

    def __init__(self, look: Look, write: Write, unavailable: tuple[type[Exception], ...]) -> None:
        self.health = Health(self.tell)
        self._look, self._write, self._unavailable = look, write, unavailable
        self._telling: dict[tuple[int, int], Told] = {}
        self._applied: dict[tuple[int, int], float] = {}
        self._is_told = asyncio.Event()
        self._is_changed = asyncio.Event()

    def tell(self, target_id: int, credential_id: int, breaker: Breaker, reason: str) -> None:
        until = time.time() + breaker.open_until - monotonic() if breaker.open_until else None
        self._telling[target_id, credential_id] = Told(target_id, credential_id, until, reason)
        self._is_told.set()

    async def write_for_ever(self) -> None:
        """Fails open: what cannot be written is dropped, and the rows' own times run out."""
        while True:
            await self._is_told.wait()
            await asyncio.sleep(JOIN_S)
            self._is_told.clear()
            told, self._telling = list(self._telling.values()), {}
            try:
                await self._write(told)
            except self._unavailable as error:
                logger.warning("could not tell of %d breakers: %s", len(told), error)

    async def look_for_ever(self) -> None:
        while True:
            try:
                self.apply(await self._look())
            except self._unavailable as error:
                logger.warning("could not look at the health of targets: %s", error)
            try:
                await asyncio.wait_for(self._is_changed.wait(), LOOK_S)
            except TimeoutError:
                pass
            self._is_changed.clear()

    async def listen_for_ever(self, redis_url: str) -> None:
        while True:
            try:
                await self._listen(redis_url)
            except (RedisError, OSError) as error:
                logger.warning("not hearing of health, looking only: %s", error)
            await asyncio.sleep(RETRY_S)

    async def _listen(self, redis_url: str) -> None:
        async with aioredis.Redis.from_url(redis_url, health_check_interval=10) as client, client.pubsub() as pubsub:
            await pubsub.subscribe(HEALTH)
            async for message in pubsub.listen():
                if message["type"] == "message":
                    self._is_changed.set()

    def apply(self, shared: Shared) -> None:
        apply_shared(shared, self.health, self._applied)


def apply_shared(shared: Shared, health: Health, applied: dict[tuple[int, int], float]) -> None:
    """Makes what a process knows agree with the rows. Each change of a breaker is applied once, as `applied` keeps it
    by target and key: what is seen here afterwards counts more."""
    now_s, now = time.time(), monotonic()
    health.out_of_use = {
        target_id: OutOfUse(reason, float("inf") if until is None else now + until - now_s)
        for target_id, (reason, until) in shared.out_of_use.items()
    }
    for known in shared.breakers:
        key = (known.target_id, known.credential_id)
        if applied.get(key) == known.change:
            continue
        applied[key] = known.change
        if known.is_open:
            health.breaker(*key).open_elsewhere(now + known.until - now_s)
        elif (breaker := health.find_breaker(*key)) is not None:
            breaker.reset()
    for credential_id, returned_s in shared.returned:
        if applied.get((ANY_TARGET, credential_id)) != returned_s:
            applied[ANY_TARGET, credential_id] = returned_s
            health.unpark(credential_id)
