"""Puts the data plane of one process together, at its start, and takes it apart, at its end."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Any

import psutil
from django.conf import settings

from common.secrets import KeyRing
from common.together import of_running_loop
from metering.by_turn import ByTurn
from metering.content_log import ContentLog
from metering.gate import Gate
from metering.journal import Journal
from metering.peers import Peers
from metering.tallies import Moment, Tallies
from metering.teller import Teller
from metering.treasury import Treasury
from metering.wiring import conninfo, open_content_log, open_journal, start_recorder
from nodes import doubts
from nodes.canaries import Canaries
from nodes.fleet import Fleet
from nodes.heartbeat import Heartbeat
from nodes.holder import Holder
from nodes.recount import Recounts
from nodes.sources import TUNNEL
from nodes.watch import watch
from providers import keypool
from providers.dialer import Dialer
from providers.egress import AllowList
from providers.targets import Credential, Target
from providers.transport import Deadlines
from providers.upstream import DirectTransport
from routing.admission import Admission
from routing.cache import Cache
from routing.cache_similar import Embedder, Similarity
from routing.cache_store import Shelf
from routing.counting import counted_usage
from routing.errands import Errands
from routing.failover import Failover, RetryBudget
from routing.flights import Flights
from routing.gateway import Gateway
from routing.health_news import HealthNews, Shared, Told
from routing.hedging import Hedger
from routing.kept_replies import KeptReplies
from routing.last_used import LastUsed
from routing.listener import listen
from routing.monitoring import post_for_ever
from routing.planner import Planner
from routing.prompts import Fingerprint
from routing.repeats import Repeats
from routing.settlement import drain_counting
from routing.snapshots import Snapshots
from routing.sources import HEALTH_UNAVAILABLE, LOADER, LOOK_AT_HEALTH, UNAVAILABLE, WRITE_BREAKERS, WRITE_LAST_USED
from routing.spending import Spending
from routing.transcripts import Transcripts

logger = logging.getLogger(__name__)


class Plane:
    """The data plane of this process. `start` inside the running loop, `aclose` before it ends."""

    def __init__(self) -> None:
        self.snapshots = Snapshots(LOADER, UNAVAILABLE, stale_s=settings.AUTHORITY_STALE_S)
        self.flights = Flights(self.snapshots.is_revoked, settings.CLIENT_STALL_S, settings.CHECKPOINT_S)
        self._journal: Journal = open_journal()
        self._by_turn = ByTurn(self._journal, of_running_loop())
        self._peers = Peers(settings.JOURNAL_DIR / "processes")
        self.tallies = Tallies(self._peers)
        # Counting costs 3 µs a request, and is left out where nobody may ask.
        self._recorder = start_recorder(self._journal, self.tallies.count if settings.METRICS_TOKEN else None)
        self._direct = DirectTransport(Dialer(AllowList.parse(settings.EGRESS_ALLOW)))
        self.last_used = LastUsed(WRITE_LAST_USED, UNAVAILABLE)
        self._tasks: set[asyncio.Future[Any]] = set()
        self._fleet = Fleet(Heartbeat.of(settings.NODE_DEAD_AFTER_S))
        self.nodes = _holder_of(self._fleet)
        self._news = HealthNews(self._look_at_health, self._write_breakers, HEALTH_UNAVAILABLE)
        self.health = health = self._news.health
        budget = RetryBudget(self.flights.__len__)
        transports = {"direct": self._direct, TUNNEL: self.nodes.transport}
        failover = Failover(transports, health, budget, self._park_refused_key)
        self._treasury = Treasury(Teller(conninfo(), self._journal.name), self._journal)
        self.spending = Spending(self._treasury, f"{settings.PUBLIC_URL}/billing")
        used = self.spending.used_percent
        self.planner = Planner(health, Deadlines(**settings.DEADLINES), self._fleet, used)
        self._shelf = Shelf(settings.REDIS_URL)
        cache = Cache(self.flights, self._shelf)
        self._recounts = Recounts(counted_usage, doubts.keep)
        self._canaries = Canaries(self.nodes.transport, self._recounts, settings.NODE_CANARY_SHARE)
        self._recounts.watcher = self._canaries
        least, peers = settings.GATEWAY_PROCESSES, self._peers
        self._gate = Gate(settings.REDIS_URL, least_processes=least, count_here=peers.count, rank_here=peers.rank)
        fingerprint = Fingerprint(settings.SECRET_KEY)
        hedger = Hedger(failover, health, self._fleet, budget, self.flights)
        self.repeats = Repeats(self.snapshots, cache, self._by_turn.append, monotonic, self._can_record, fingerprint)
        self.gateway = self._gateway(failover, hedger, cache, fingerprint)
        cache.similarity = Similarity(Embedder(self.gateway, self.flights), self._shelf.questions)
        self._contents: ContentLog = open_content_log(fingerprint.of)
        self.transcripts = Transcripts(self.gateway, self.snapshots, self._contents.keep)
        kept = KeptReplies(settings.REDIS_URL, KeyRing.parse(settings.KEYRING))
        self.errands = Errands(self.transcripts, self.flights, kept)

    def _gateway(self, failover: Failover, hedger: Hedger, cache: Cache, fingerprint: Fingerprint) -> Gateway:
        return Gateway(
            self.snapshots,
            self.planner,
            failover,
            self.health,
            Admission(self._gate),
            self._journal.append,
            monotonic,
            can_record=self._can_record,
            cache=cache,
            recounts=self._recounts,
            note=self._journal.checkpoint,
            fingerprint=fingerprint,
            spending=self.spending,
            hedger=hedger,
            repeats=self.repeats,
            append_soon=self._by_turn.append,
        )

    async def start(self) -> None:
        self._contents.start()
        await self.nodes.start()
        self.flights.start()
        self.snapshots.start()
        self._gate.start()
        self._keep(asyncio.ensure_future(post_for_ever(self.tallies, self._moment)))
        self._keep(asyncio.ensure_future(self.last_used.flush_for_ever()))
        self._keep(asyncio.ensure_future(listen(settings.REDIS_URL, self.snapshots)))
        self._keep(asyncio.ensure_future(watch(settings.REDIS_URL, self._fleet)))
        self._keep(asyncio.ensure_future(self._news.look_for_ever()))
        self._keep(asyncio.ensure_future(self._news.write_for_ever()))
        self._keep(asyncio.ensure_future(self._news.listen_for_ever(settings.REDIS_URL)))

    async def aclose(self) -> None:
        await self.flights.aclose(settings.DRAIN_S)
        await drain_counting()
        await self._canaries.aclose()
        await self._recounts.aclose()
        await self.nodes.aclose()
        await self.last_used.flush()
        await self._gate.aclose()
        self._peers.close()
        for task in self._tasks:
            task.cancel()
        await self.snapshots.aclose()
        await self._shelf.aclose()
        await self.errands.aclose()
        self._direct.close()
        await asyncio.to_thread(self._contents.stop, 5.0)
        is_settled = await asyncio.to_thread(self._recorder.stop, 10.0)
        self._journal.close(is_over=await self._treasury.aclose(is_settled=is_settled))

    async def missing(self) -> list[str]:
        """What this process lacks to serve, by name."""
        missing = [] if await self.snapshots.is_reachable() else ["postgresql"]
        return [*missing, "journal"] if self._journal.is_full else missing

    def _moment(self, loop_lag_s: float) -> Moment:
        stats = self._recorder.stats
        return Moment(
            requests=len(self.flights),
            nodes=len(self.nodes.links),
            loop_lag_s=loop_lag_s,
            backlog_bytes=self._journal.unshipped_bytes,
            failures=stats.failures_in_a_row,
            set_aside=stats.rejected,
            resident_bytes=psutil.Process().memory_info().rss,
        )

    def _can_record(self) -> bool:
        return not self._journal.is_full

    async def _look_at_health(self) -> Shared:
        return await self.snapshots.aside(LOOK_AT_HEALTH)

    async def _write_breakers(self, told: list[Told]) -> None:
        await asyncio.to_thread(WRITE_BREAKERS, told)

    def _park_refused_key(self, target: Target, credential: Credential) -> None:
        """Stores that a vendor's key was refused, in a thread; every other process then drops it too."""
        logger.warning("key %s of %s was refused upstream", credential.public_id, target.connection_slug)
        loop = asyncio.get_running_loop()
        self._keep(loop.run_in_executor(None, keypool.park_refused_key, credential.public_id))

    def _keep(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _holder_of(fleet: Fleet) -> Holder:
    return Holder(
        fleet,
        console_url=settings.PUBLIC_URL,
        hosts=settings.ALLOWED_HOSTS,
        redis_url=settings.REDIS_URL,
        secret_key=settings.SECRET_KEY,
        relay_host=settings.NODE_RELAY_HOST,
    )


_plane: Plane | None = None


def plane() -> Plane:
    """The plane of this process, which serves only after `start_plane`."""
    assert _plane is not None, "the data plane was not started; serve console.asgi with --lifespan on"
    return _plane


def find_plane() -> Plane | None:
    return _plane


async def start_plane() -> Plane:
    global _plane
    _plane = Plane()
    await _plane.start()
    return _plane


async def stop_plane() -> None:
    global _plane
    if _plane is not None:
        await _plane.aclose()
        _plane = None
