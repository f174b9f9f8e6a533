"""A flood of keys that do not exist: what it asks of PostgreSQL, and what it does to a key that does."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import TemporarilyUnavailable
from routing import lookups
from routing.lookups import MOST_AT_ONCE, MOST_UNKNOWN, KeyLookups

GOOD = {"good": 7, "new": 8}


class Keys:
    """What is asked, query by query; each waits until it is let go."""

    def __init__(self) -> None:
        self.queries: list[set[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None

    async def find(self, public_ids) -> dict[str, int]:
        self.queries.append(set(public_ids))
        await self.open.wait()
        if self.failure:
            raise self.failure
        return {public_id: GOOD[public_id] for public_id in public_ids if public_id in GOOD}


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def asked(keys: Keys) -> KeyLookups:
    return KeyLookups(keys.find)


def bad(count: int, name: str = "bad") -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


async def ask(asked: KeyLookups, *public_ids: str) -> list[asyncio.Task]:
    """Asks for all of them in one tick."""
    tasks = [asyncio.ensure_future(asked.org_of(public_id)) for public_id in public_ids]
    await asyncio.sleep(0)
    return tasks


async def test_those_of_one_tick_share_a_query(asked, keys):
    answers = await asyncio.gather(*(asked.org_of(public_id) for public_id in [*bad(500), "good", "good"]))
    assert answers == [None] * 500 + [7, 7]
    assert [len(query) for query in keys.queries] == [501]


async def test_a_new_key_waits_for_one_query_besides_its_own(asked, keys):
    keys.open.clear()
    flood = await ask(asked, *bad(300))
    await asyncio.sleep(0)
    for number in range(5):
        flood += await ask(asked, *bad(300, f"worse-{number}"))
    [new] = await ask(asked, "new")
    keys.open.set()
    assert await new == 8
    assert [len(query) for query in keys.queries] == [300, 1501]
    await asyncio.gather(*flood)


async def test_what_was_unknown_a_moment_ago_is_not_asked_again(asked, keys):
    assert await asked.org_of("bad") is None
    assert await asked.org_of("bad") is None
    assert len(keys.queries) == 1


async def test_and_is_asked_again_later(asked, keys, monkeypatch):
    monkeypatch.setattr(lookups, "UNKNOWN_S", 0)
    await asked.org_of("bad")
    await asked.org_of("bad")
    assert len(keys.queries) == 2


async def test_a_change_makes_everything_possible_again(asked, keys):
    await asked.org_of("bad")
    asked.forget_unknown()
    await asked.org_of("bad")
    assert len(keys.queries) == 2


async def test_a_key_made_while_it_is_asked_for_is_found_the_next_time(asked, keys, monkeypatch):
    keys.open.clear()
    [first] = await ask(asked, "late")
    await asyncio.sleep(0)
    asked.forget_unknown()  # its making is told, but the query has read its rows already
    keys.open.set()
    assert await first is None
    monkeypatch.setitem(GOOD, "late", 9)
    assert await asked.org_of("late") == 9


async def test_notes_of_unknown_keys_are_bounded_and_the_oldest_go_first(asked, keys):
    await asked.org_of("oldest")
    for public_id in bad(MOST_UNKNOWN):
        asked.note_unknown(public_id)
    assert len(asked._unknown) == MOST_UNKNOWN
    assert await asked.org_of(bad(1)[0]) is None
    assert len(keys.queries) == 1
    await asked.org_of("oldest")
    assert len(keys.queries) == 2


async def test_more_than_a_query_may_hold_are_told_to_come_again(asked, keys):
    keys.open.clear()
    waiting = await ask(asked, "first")
    await asyncio.sleep(0)
    waiting += await ask(asked, *bad(MOST_AT_ONCE))
    with pytest.raises(TemporarilyUnavailable):
        await asked.org_of("one-too-many")
    again = await ask(asked, bad(1)[0])  # is among them already
    keys.open.set()
    assert await asyncio.gather(*waiting, *again) == [None] * (MOST_AT_ONCE + 2)
    assert await asked.org_of("good") == 7


async def test_who_leaves_takes_nothing_from_the_others(asked, keys):
    keys.open.clear()
    leaving, staying = await ask(asked, "good", "new")
    leaving.cancel()
    keys.open.set()
    assert await staying == 8


async def test_a_failure_is_told_to_all_and_forgotten(asked, keys):
    keys.failure = ConnectionError("away")
    answers = await asyncio.gather(*(asked.org_of(public_id) for public_id in bad(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] * 3
    keys.failure = None
    assert await asked.org_of("good") == 7
    assert await asked.org_of("bad-0") is None
    assert len(keys.queries) == 3
