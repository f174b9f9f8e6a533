"""Answers given again to questions that mean the same, where a route's policy says so.

    a question ──► its embedding, by a target of the organisation's ──► the most similar one answered ──► its entry

The embedding is a request of its own: in the log, with its cost, under the caller's limits and budgets. When it
fails, or takes too long, the cache knows nothing, and the question is asked as if there were none.
"""

from __future__ import annotations

import asyncio
from time import time

import msgspec
import orjson

from common.errors import ShareAIError
from common.ids import new_request_id
from providers.schema import EMBEDDINGS, parse
from routing.asked import Serves
from routing.cache_entries import Entry
from routing.cache_keys import Wanted
from routing.cache_store import Memory, Shelf
from routing.filters import PRIVATE
from routing.flights import LEFT, Flight, Flights, nobody_there
from routing.replies import Reply
from routing.similar import Index, Similar, Vector, vector_of
from routing.similar_shelf import Questions

EMBEDDING_S = 3.0
MOST_TRIED = 3
KNOWN_AFTER_S = 1.0
AGENT = "shareai semantic cache"


class Embedder:
    """Asks the gateway itself."""

    def __init__(self, gateway: Serves, flights: Flights, within_s: float = EMBEDDING_S) -> None:
        self._gateway = gateway
        self._flights = flights
        self._within_s = within_s

    async def embed(self, model: str, similar: Similar) -> Vector[float] | None:
        """None when it failed, whatever was the reason. It ends when its caller leaves."""
        flights: list[Flight] = []
        task = asyncio.get_running_loop().create_task(self._asked(model, similar, flights))
        try:
            async with asyncio.timeout(self._within_s):
                return await asyncio.shield(task)
        except TimeoutError:
            return None
        finally:
            if not task.done():
                for flight in flights:
                    flight.end(LEFT)

    async def _asked(self, model: str, similar: Similar, flights: list[Flight]) -> Vector[float] | None:
        flight = self._flights.enter(nobody_there)
        flights.append(flight)
        text, caller = similar.text, msgspec.structs.replace(similar.caller, allowed_models=None)
        body = {"model": model, "input": text, "encoding_format": "float"}
        try:
            call = parse(EMBEDDINGS, body, request_id=new_request_id(), body_bytes=len(text) * 4, user_agent=AGENT)
            if similar.stays_home:
                call = msgspec.structs.replace(call, place=PRIVATE)
            reply = await self._gateway.serve(call, caller, flight)
            reply.close()
            return _vector_in(reply) if isinstance(reply, Reply) and reply.status == 200 else None
        except ShareAIError:
            return None
        except asyncio.CancelledError:
            if flight.ended_by is None:
                raise
            return None
        finally:
            self._flights.leave(flight)


class Similarity:
    """One per process: it knows the questions that came by here and, without `questions` not, those of the others."""

    def __init__(self, embedder: Embedder, questions: Questions | None = None) -> None:
        self._embedder = embedder
        self._questions = questions
        self._index = Index()
        self._running: dict[bytes, asyncio.Task[Vector[float] | None]] = {}

    async def find(self, wanted: Wanted, memory: Memory, shelf: Shelf | None) -> tuple[Entry, float] | None:
        """An answer to what means the same, and how similar that is. What is asked now is known from now on."""
        similar, rule = wanted.similar, wanted.rule.semantic
        assert similar is not None
        assert rule is not None
        await self._hear(wanted.org_id, similar.filter)
        vector = self._index.vector(wanted.org_id, similar.filter, wanted.digest)
        if vector is None:
            vector = await asyncio.shield(self._embedding(wanted.digest, rule.model, similar))
        if vector is None:
            return None
        found = None
        if wanted.freshness.reads:
            alike = await asyncio.to_thread(self._index.alike, wanted.org_id, similar.filter, vector, rule.threshold)
            for likeness, digest in alike[:MOST_TRIED]:
                entry = memory.find(digest) or (await shelf.find(wanted.org_id, digest) if shelf else None)
                if entry is not None and _may_answer(entry, wanted):
                    found = entry, likeness
                    break
        if found is None and wanted.freshness.stores:
            await self._note(wanted, similar.filter, vector)
        return found

    async def _hear(self, org_id: int, named: bytes) -> None:
        if self._questions is None:
            return
        heard = self._index.heard(org_id, named)
        news = await self._questions.since(org_id, named, heard)
        if news.heard != heard:
            self._index.hear(org_id, named, news.heard, news.questions)

    async def _note(self, wanted: Wanted, named: bytes, vector: Vector[float]) -> None:
        """What is known already, others were told when it came."""
        is_new = self._index.vector(wanted.org_id, named, wanted.digest) is None
        self._index.add(wanted.org_id, named, vector, wanted.digest)
        if is_new and self._questions is not None:
            await self._questions.tell(wanted.org_id, named, wanted.digest, vector, wanted.rule.ttl_s)

    def _embedding(self, digest: bytes, model: str, similar: Similar) -> asyncio.Task[Vector[float] | None]:
        """One for all who ask the very same at once. It stays for a moment, until it is known."""
        running = self._running.get(digest)
        if running is None:
            loop = asyncio.get_running_loop()
            running = loop.create_task(self._embedder.embed(model, similar))
            self._running[digest] = running
            running.add_done_callback(lambda _: loop.call_later(KNOWN_AFTER_S, self._running.pop, digest, None))
        return running


def _may_answer(entry: Entry, wanted: Wanted) -> bool:
    """Not with a call of tools: its arguments are of the one question."""
    return entry.finish_reason != "tool_calls" and entry.age_s(time()) <= wanted.oldest_s


def _vector_in(reply: Reply) -> Vector[float] | None:
    try:
        numbers = orjson.loads(reply.body)["data"][0]["embedding"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None
    return vector_of(numbers) if isinstance(numbers, list) else None
