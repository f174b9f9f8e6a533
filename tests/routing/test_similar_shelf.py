"""What one process was asked, another one compares with; bounded, and each for itself while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from accounts.authentication import Caller
from providers.adapters.base import TokenUsage
from providers.schema import Call
from routing import similar_shelf
from routing.cache_entries import Entry
from routing.cache_keys import ANY, Wanted
from routing.cache_rules import CacheRule, Semantic
from routing.cache_similar import Embedder, Similarity
from routing.cache_store import Memory, Shelf
from routing.flights import Flight, Flights
from routing.replies import Reply
from routing.similar import BEGINNING, Similar, similarity, vector_of
from routing.similar_shelf import packed, unpacked
from tests.fakes import embeddings
from tests.ownredis import OwnRedis
from tests.routing.builders import CALLER

RULE = CacheRule(600, semantic=Semantic("embed", 0.8))
CAPITAL = "What is the capital of France?"
REPHRASED = "Please tell: what is the capital of France?"


class Words:
    """A gateway whose embeddings count words. `asked` are the texts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def serve(self, call: Call, caller: Caller, flight: Flight) -> Reply:
        text = call.body["input"]
        self.asked.append(text)
        numbers = ",".join(map(str, embeddings.vector_of(text)))
        return Reply(200, [], b'{"data": [{"embedding": [%s]}]}' % numbers.encode())


class Process:
    """What one process has of the cache."""

    def __init__(self, redis_url: str) -> None:
        self.gateway, self.shelf, self.memory = Words(), Shelf(redis_url), Memory()
        self.similarity = Similarity(Embedder(self.gateway, Flights()), self.shelf.questions)

    async def ask(self, text: str, org_id: int = 1, named: bytes = b"filter", rule: CacheRule = RULE) -> str:
        """The model of the answer that was found, "" for none; then its own answer is kept."""
        digest = text.encode()
        wanted = Wanted(digest, org_id, rule, ANY, Similar(named, text, CALLER))
        found = await self.similarity.find(wanted, self.memory, self.shelf)
        if found is not None:
            return found[0].target
        await self.shelf.keep(org_id, digest, answer_to(text), 600)
        return ""


def answer_to(text: str) -> Entry:
    return Entry(False, b"{}", 4e9, text, "stop", TokenUsage(1, 1, 0, "reported"), 0)


@pytest.fixture(scope="module")
def redis() -> Iterator[OwnRedis]:
    with OwnRedis() as own:
        yield own


@pytest.fixture
async def two(redis) -> AsyncIterator[list[Process]]:
    both = [Process(redis.url) for _ in range(2)]
    await both[0].shelf.questions._door.redis.flushall()
    yield both
    for process in both:
        await process.shelf.aclose()


async def test_one_finds_what_the_other_was_asked(two):
    one, other = two
    assert await one.ask(CAPITAL) == ""
    assert await other.ask(REPHRASED) == CAPITAL
    assert await other.ask("What is the weather in Spain?") == ""
    assert await one.ask("What weather is in Spain?") == "What is the weather in Spain?"


async def test_the_very_same_question_is_embedded_by_one_of_them(two):
    one, other = two
    await one.ask(CAPITAL)
    assert await other.ask(CAPITAL) == CAPITAL
    assert other.gateway.asked == []


@pytest.mark.parametrize("apart", [{"org_id": 2}, {"named": b"another"}])
async def test_organisations_and_prompts_stay_apart(two, apart):
    one, other = two
    await one.ask(CAPITAL)
    assert await other.ask(REPHRASED, **apart) == ""


async def test_redis_is_kept_small(two, monkeypatch):
    monkeypatch.setattr(similar_shelf, "MOST_ALIKE", 3)
    monkeypatch.setattr(similar_shelf, "MOST_FILTERS_OF_ONE", 2)
    questions = two[0].shelf.questions
    for named in (b"f", b"g", b"h"):
        for number in range(5):
            await questions.tell(1, named, b"%d" % number, vector_of([1, number]), 600)
    news = {named: await two[1].shelf.questions.since(1, named, BEGINNING) for named in (b"f", b"g", b"h")}
    assert [[digest for digest, _ in found.questions] for found in news.values()] == [[], *[[b"2", b"3", b"4"]] * 2]
    assert 0 < await questions._door.redis.ttl("shareai:alike:1:" + b"h".hex()) <= 600


async def test_only_what_is_new_is_read_again(two):
    questions = two[0].shelf.questions
    await questions.tell(1, b"f", b"1", vector_of([1, 0]), 600)
    first = await questions.since(1, b"f", BEGINNING)
    await questions.tell(1, b"f", b"2", vector_of([0, 1]), 600)
    then = await questions.since(1, b"f", first.heard)
    assert [digest for digest, _ in then.questions] == [b"2"]
    assert await questions.since(1, b"f", then.heard) == similar_shelf.News(then.heard, [])


async def test_what_is_no_question_is_passed_over(two):
    door = two[0].shelf.questions._door
    for wrong in ({b"d": b"1"}, {b"v": b"\x01"}, {b"d": b"1", b"v": b"\x00\x00"}):
        await door.redis.xadd("shareai:alike:1:" + b"f".hex(), wrong)
    assert (await two[1].shelf.questions.since(1, b"f", BEGINNING)).questions == []


async def test_while_redis_is_away_each_knows_its_own(two, redis):
    one, other = two
    redis.kill()
    try:
        assert await one.ask(CAPITAL) == ""
        one.memory.keep(CAPITAL.encode(), answer_to(CAPITAL))
        assert await one.ask(REPHRASED) == CAPITAL
        assert await other.ask(REPHRASED) == ""
    finally:
        await asyncio.to_thread(redis.start)


def test_a_byte_for_each_number_is_exact_enough():
    vector = vector_of([((7919 * place) % 1009) / 1009 - 0.5 for place in range(1536)])
    assert len(packed(vector)) == 1536
    assert similarity(vector, unpacked(packed(vector))) == pytest.approx(1, abs=1e-4)
    assert unpacked(b"") is None
