"""What the data plane knows of each organisation, in memory and immutable.

    accounts.sources, providers.sources, nodes.sources  →  OrgSnapshot  →  every request

A snapshot is loaded at an organisation's first request, reloaded when its version changes (told by pub/sub,
found by polling once a second in any case), and usable for a minute when PostgreSQL is away. Loading runs in a
thread, off the loop; a request waits for it only when the process has never seen its key.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import msgspec

from accounts.authentication import KeyRecord
from accounts.channel import PLATFORM
from common.errors import TemporarilyUnavailable
from metering.bounds import Limits
from metering.budgets import Budgets
from providers.targets import Target
from routing.cache_rules import NO_RULES, CacheRules
from routing.legs import RouteTarget
from routing.lookups import KeyLookups
from routing.plans import Hedge
from routing.rules import Rule

POLL_S = 1.0
LONGEST_REST_S = 0.25
"""An organisation that goes on changing rests between two loads as long as the last one took, at most so long."""
NOBODY = 0
"""The id of no organisation. For an empty list of ids Django would ask PostgreSQL nothing at all."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class SpillOver(msgspec.Struct, frozen=True):
    """When an own machine gives way to the others of its route: beyond so many waiting requests, or when its first
    token takes longer. None sets no bound."""

    queue_above: int | None = None
    first_token_above_s: float | None = None


class RouteRecord(msgspec.Struct, frozen=True):
    """An organisation's alias in front of targets. A private one is never served by anybody else's machine, whatever
    its rules say. The first of `rules` that fits a request takes the place of `strategy` and `legs`."""

    name: str
    strategy: str
    legs: tuple[RouteTarget, ...]
    first_byte_s: float | None = None
    private: bool = False
    spill_over: SpillOver | None = None
    rules: tuple[Rule, ...] = ()
    continue_streams: bool = False
    hedge: Hedge | None = None
    canary: Canary | None = None
    variant: dict[str, str] | None = None
    """While a canary runs, which of both this is: noted on the usage row."""


class Canary(msgspec.Struct, frozen=True):
    """Another version of a route, to which so many of a hundred requests go."""

    percent: int
    route: RouteRecord


class OrgSnapshot(msgspec.Struct, frozen=True, weakref=True):
    """Everything that serving a request of this organisation takes. `version` is the one it was loaded at."""

    org_id: int
    slug: str
    version: int
    default_strategy: str
    keys: dict[str, KeyRecord]
    by_model: dict[str, tuple[Target, ...]]
    by_name: dict[str, Target]
    routes: dict[str, RouteRecord]
    cache: CacheRules = NO_RULES
    drills: dict[str, float] = {}
    """Until when, in Unix time, a target's or connection's name counts as down."""
    limits: Limits | None = None
    time_zone: str = "UTC"
    """In which the hours of rules are meant."""
    budgets: Budgets | None = None

    def model_names(self) -> list[str]:
        """Every name that a caller may ask for: routes, public models, and what serves only who names it."""
        named_only = (name for name, target in self.by_name.items() if target.named_only)
        return sorted({*self.routes, *self.by_model, *named_only})

    def near(self, name: str) -> list[str]:
        """Up to three names that look like `name`, for the message of a 404."""
        return difflib.get_close_matches(name, [*self.model_names(), *self.by_name], n=3, cutoff=0.5)


class Loader(msgspec.Struct, frozen=True):
    """Where snapshots come from: blocking functions, called in a thread.

    `find_key_orgs` gives the organisations of those public ids that are keys; `load` gives None for an organisation
    that is gone; `load_versions` gives the current version of each id that still exists.
    """

    find_key_orgs: Callable[[Collection[str]], Mapping[str, int]]
    load: Callable[[int], OrgSnapshot | None]
    load_versions: Callable[[Collection[int]], dict[int, int]]


def snapshot_of(
    *,
    org_id: int,
    slug: str,
    version: int,
    default_strategy: str,
    keys: Iterable[KeyRecord],
    targets: Iterable[Target],
    routes: Iterable[RouteRecord],
    cache: CacheRules = NO_RULES,
    drills: dict[str, float] | None = None,
    limits: Limits | None = None,
    time_zone: str = "UTC",
    budgets: Budgets | None = None,
) -> OrgSnapshot:
    """Indexes what was loaded."""
    by_model: dict[str, list[Target]] = {}
    by_name: dict[str, Target] = {}
    for target in targets:
        if not target.named_only:
            by_model.setdefault(target.model_id, []).append(target)
        by_name[target.name] = target
    return OrgSnapshot(
        org_id=org_id,
        slug=slug,
        version=version,
        default_strategy=default_strategy,
        keys={key.public_id: key for key in keys},
        by_model={model: tuple(group) for model, group in by_model.items()},
        by_name=by_name,
        routes={route.name: route for route in routes},
        cache=cache,
        drills=drills or {},
        limits=limits,
        time_zone=time_zone,
        budgets=budgets,
    )


class Snapshots:
    """The store of one process."""

    def __init__(self, loader: Loader, unavailable: tuple[type[Exception], ...], *, stale_s: float = 60.0) -> None:
        """
        Args:
            unavailable: what the loader raises while PostgreSQL is away.
            stale_s: for how long after the last check what is in memory counts.
        """
        self._loader = loader
        self._unavailable = unavailable
        self._stale_s = stale_s
        self._orgs: dict[int, OrgSnapshot] = {}
        self._key_orgs: dict[str, int] = {}
        self._lookups = KeyLookups(lambda public_ids: self.aside(partial(loader.find_key_orgs, public_ids)))
        self._loading: dict[int, asyncio.Task[None]] = {}
        self._heeding: dict[int, asyncio.Task[None]] = {}
        self._heard_again: set[int] = set()
        self._fresh_at = time.monotonic()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
        self._poller: asyncio.Task[None] | None = None

    def find_key(self, public_id: str) -> KeyRecord | None:
        """From memory only."""
        org_id = self._key_orgs.get(public_id)
        if org_id is None:
            return None
        snapshot = self._orgs.get(org_id)
        return snapshot.keys.get(public_id) if snapshot else None

    def get(self, org_id: int) -> OrgSnapshot:
        """The snapshot of an organisation one of whose keys was found.

        Raises:
            TemporarilyUnavailable: PostgreSQL has been away for longer than a cached authority may live.
        """
        if time.monotonic() - self._fresh_at > self._stale_s:
            raise TemporarilyUnavailable("The configuration could not be checked for too long.", retry_after_s=5)
        return self._orgs[org_id]

    def is_revoked(self, public_id: str) -> bool:
        """Whether a key that was once good no longer is, by what this process knows now."""
        key = self.find_key(public_id)
        return key is None or key.revoked_at_s is not None

    async def learn_key(self, public_id: str) -> KeyRecord | None:
        """Looks a key up that memory does not hold, and loads its organisation.

        Raises:
            TemporarilyUnavailable: PostgreSQL is away, or too much is asked of it; the key may well be good.
        """
        try:
            org_id = await self._lookups.org_of(public_id)
            if org_id is None:
                return None
            await self.reload(org_id)
        except self._unavailable as error:
            raise TemporarilyUnavailable("The key could not be checked.", retry_after_s=2) from error
        record = self.find_key(public_id)
        if record is None:  # ended so long ago that its organisation is loaded without it
            self._lookups.note_unknown(public_id)
        return record

    async def reload(self, org_id: int) -> None:
        """Loads an organisation anew; concurrent calls for one organisation share the work."""
        task = self._loading.get(org_id)
        if task is None:
            task = asyncio.create_task(self._load(org_id))
            self._loading[org_id] = task
            task.add_done_callback(lambda _: self._loading.pop(org_id, None))
        await asyncio.shield(task)

    def heed(self, org_id: int) -> None:
        """As `changed`, without being waited for: an organisation that changes all the time is loaded once for all
        that was said of it meanwhile, and keeps nobody else's changes waiting."""
        self._lookups.forget_unknown()
        if org_id in self._heeding:
            self._heard_again.add(org_id)
        elif org_id == PLATFORM or org_id in self._orgs or org_id in self._loading:
            self._heeding[org_id] = asyncio.create_task(self._heed(org_id))

    async def _heed(self, org_id: int) -> None:
        try:
            while True:
                self._heard_again.discard(org_id)
                began = time.monotonic()
                await self.changed(org_id)
                if org_id not in self._heard_again:
                    return
                await asyncio.sleep(min(time.monotonic() - began, LONGEST_REST_S))
        finally:
            del self._heeding[org_id]

    async def changed(self, org_id: int) -> None:
        """A message said that this organisation changed; 0 stands for the platform, hence for all.

        Never raises for PostgreSQL's absence: the poll finds the change when it is back.
        """
        self._lookups.forget_unknown()
        if (running := self._loading.get(org_id)) is not None:
            # What is being loaded may be from before the change.
            await asyncio.wait([running])
        try:
            if org_id == PLATFORM:
                await self._poll()
            elif org_id in self._orgs:
                await self._reload_changed(org_id)
        except self._unavailable as error:
            logger.warning("could not load the change of organisation %s: %s", org_id, error)

    async def is_reachable(self) -> bool:
        """Whether the source of snapshots answers now."""
        try:
            await self.aside(partial(self._loader.load_versions, [NOBODY]))
        except self._unavailable:
            return False
        return True

    def start(self) -> None:
        self._poller = asyncio.create_task(self._poll_for_ever())

    async def aclose(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
        for task in self._heeding.values():
            task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _load(self, org_id: int) -> None:
        self._replace(org_id, await self.aside(partial(self._loader.load, org_id)))

    def _replace(self, org_id: int, snapshot: OrgSnapshot | None) -> None:
        old = self._orgs.pop(org_id, None)
        for public_id in old.keys if old else ():
            self._key_orgs.pop(public_id, None)
        if snapshot is not None:
            self._orgs[org_id] = snapshot
            self._key_orgs.update(dict.fromkeys(snapshot.keys, org_id))

    async def _poll(self) -> None:
        known = {org_id: snapshot.version for org_id, snapshot in self._orgs.items()}
        versions = await self.aside(partial(self._loader.load_versions, list(known))) if known else {}
        asked_at = time.monotonic()
        for org_id, version in known.items():
            if versions.get(org_id) != version and org_id not in self._heeding:
                await self._reload_changed(org_id)
        self._fresh_at = asked_at

    async def _reload_changed(self, org_id: int) -> None:
        """What changed and cannot be read is forgotten: one organisation's rows must not harm the others, and rights
        that were taken away must not live on."""
        try:
            await self.reload(org_id)
        except self._unavailable:
            raise
        except Exception:
            logger.exception("organisation %s cannot be loaded", org_id)
            self._replace(org_id, None)

    async def _poll_for_ever(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._poll()
            except self._unavailable as error:
                logger.warning("could not poll for new versions: %s", error)

    async def aside(self, function: Callable[[], T]) -> T:
        """Runs a blocking read in the thread, and so on the connection, that snapshots are loaded by."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
