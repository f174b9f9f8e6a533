"""What is kept in memory while rows change, while PostgreSQL is away, and while one organisation cannot be read."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field

import pytest

from accounts.authentication import KeyRecord
from common.errors import TemporarilyUnavailable
from routing.snapshots import Loader, OrgSnapshot, Snapshots, snapshot_of

PLATFORM = 0


class Away(Exception):
    """Stands for what the database's driver raises."""


def key(org_id: int, *, revoked: bool = False) -> KeyRecord:
    return KeyRecord(
        id=org_id,
        public_id=f"key-of-{org_id}",
        secret_hash=b"",
        org_id=org_id,
        user_id=None,
        name="",
        scopes=frozenset({"inference"}),
        revoked_at_s=1.0 if revoked else None,
    )


@dataclass
class Rows:
    """Two organisations with a key each, and what is wrong with reading them."""

    versions: dict[int, int] = field(default_factory=lambda: {1: 1, 2: 1})
    revoked: set[int] = field(default_factory=set)
    unreadable: set[int] = field(default_factory=set)
    old: dict[str, int] = field(default_factory=dict)
    away: bool = False
    loads: int = 0
    takes_s: float = 0.0
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def revoke(self, org_id: int) -> None:
        self.revoked.add(org_id)
        self.versions[org_id] += 1

    def loader(self) -> Loader:
        return Loader(self._find_key_orgs, self._load, self._load_versions)

    def _find_key_orgs(self, public_ids) -> dict[str, int]:
        self._ask()
        numbers = {name: self.old.get(name) or int(name.removeprefix("key-of-")) for name in public_ids}
        return {public_id: number for public_id, number in numbers.items() if number in self.versions}

    def _load(self, org_id: int) -> OrgSnapshot | None:
        self._ask()
        self.loads += 1
        time.sleep(self.takes_s)
        self.gate.wait(10)
        if org_id in self.unreadable:
            raise ValueError("a row that nobody expected")
        if org_id not in self.versions:
            return None
        keys = [key(org_id, revoked=org_id in self.revoked)]
        return snapshot_of(
            org_id=org_id,
            slug=f"org-{org_id}",
            version=self.versions[org_id],
            default_strategy="priority",
            keys=keys,
            targets=(),
            routes=(),
        )

    def _load_versions(self, org_ids) -> dict[int, int]:
        self._ask()
        return {org_id: version for org_id, version in self.versions.items() if org_id in org_ids}

    def _ask(self) -> None:
        if self.away:
            raise Away


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
async def snapshots(rows: Rows):
    snapshots = Snapshots(rows.loader(), (Away,), stale_s=60)
    await snapshots.learn_key("key-of-1")
    await snapshots.learn_key("key-of-2")
    yield snapshots
    await snapshots.aclose()


async def test_a_change_is_taken_up_when_it_is_told(snapshots, rows):
    rows.revoke(1)
    assert not snapshots.is_revoked("key-of-1")
    await snapshots.changed(1)
    assert snapshots.is_revoked("key-of-1")
    assert not snapshots.is_revoked("key-of-2")


async def test_a_change_of_the_platform_loads_those_that_changed(snapshots, rows):
    rows.revoke(2)
    before = rows.loads
    await snapshots.changed(PLATFORM)
    assert snapshots.is_revoked("key-of-2")
    assert rows.loads == before + 1


async def heeded(snapshots) -> None:
    async with asyncio.timeout(10):
        while snapshots._heeding:
            await asyncio.sleep(0.005)


async def test_all_that_is_told_while_one_is_loaded_is_one_more_load(snapshots, rows):
    before = rows.loads
    rows.gate.clear()
    snapshots.heed(1)
    await asyncio.sleep(0.05)  # its load is under way
    rows.revoke(1)
    for _ in range(50):
        snapshots.heed(1)
    rows.gate.set()
    await heeded(snapshots)
    assert rows.loads == before + 2
    assert snapshots.is_revoked("key-of-1")


async def test_one_that_changes_all_the_time_keeps_nobody_waiting(snapshots, rows):
    async def for_ever() -> None:
        while True:
            rows.versions[1] += 1
            snapshots.heed(1)
            await asyncio.sleep(0)

    changing = asyncio.create_task(for_ever())
    rows.takes_s = 0.05
    try:
        rows.revoke(2)
        snapshots.heed(2)
        before = rows.loads
        async with asyncio.timeout(10):
            while not snapshots.is_revoked("key-of-2"):
                await asyncio.sleep(0.001)
        assert rows.loads - before <= 3
    finally:
        changing.cancel()


async def test_nobody_is_loaded_because_a_stranger_changed(snapshots, rows):
    before = rows.loads
    rows.versions[7] = 1
    snapshots.heed(7)
    await heeded(snapshots)
    assert rows.loads == before


@pytest.mark.parametrize("told", [PLATFORM, 1])
async def test_a_message_while_postgresql_is_away_harms_nobody(snapshots, rows, told):
    rows.revoke(1)
    rows.away = True
    await snapshots.changed(told)
    assert not snapshots.is_revoked("key-of-1")
    rows.away = False
    await snapshots.changed(PLATFORM)
    assert snapshots.is_revoked("key-of-1")


@pytest.mark.parametrize("told", [PLATFORM, 1])
async def test_one_that_cannot_be_read_any_more_is_forgotten_alone(snapshots, rows, told):
    rows.unreadable.add(1)
    rows.revoke(1)
    rows.revoke(2)
    await snapshots.changed(told)
    await snapshots.changed(2)
    assert snapshots.find_key("key-of-1") is None
    assert snapshots.is_revoked("key-of-2")


async def test_a_key_that_cannot_be_looked_up_may_be_good(snapshots, rows):
    rows.versions[3] = 1
    rows.away = True
    with pytest.raises(TemporarilyUnavailable):
        await snapshots.learn_key("key-of-3")
    rows.away = False
    assert await snapshots.learn_key("key-of-3") is not None


async def test_an_unknown_key_is_not_looked_up_again_at_once(snapshots, rows):
    assert await snapshots.learn_key("key-of-9") is None
    rows.away = True
    assert await snapshots.learn_key("key-of-9") is None


async def test_a_new_key_is_found_as_soon_as_its_making_is_told(snapshots, rows):
    assert await snapshots.learn_key("key-of-9") is None
    rows.versions[9] = 1
    await snapshots.changed(9)
    assert await snapshots.learn_key("key-of-9") is not None


async def test_many_who_ask_at_once_load_once(rows):
    snapshots = Snapshots(rows.loader(), (Away,))
    await asyncio.gather(*(snapshots.reload(1) for _ in range(20)))
    assert rows.loads == 1
    await snapshots.aclose()


async def test_what_nobody_could_check_for_too_long_counts_no_more(rows):
    snapshots = Snapshots(rows.loader(), (Away,), stale_s=-1)
    await snapshots.learn_key("key-of-1")
    with pytest.raises(TemporarilyUnavailable):
        snapshots.get(1)
    await snapshots.aclose()


async def test_a_key_that_its_organisation_no_longer_has_loads_it_once(snapshots, rows):
    """One that ended long ago still names its organisation, and must not make it be loaded for each request."""
    rows.old = {"old-key": 1}
    assert await snapshots.learn_key("old-key") is None
    before = rows.loads
    assert await snapshots.learn_key("old-key") is None
    assert rows.loads == before
