"""Questions that mean the same: a request split into what has to be equal and the text that may be put otherwise,
and an index of what was asked. Pure.

What has to be equal is everything but the text of the last message: the system prompt, what was said before, the
names of models, tools and parameters.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from operator import mul
from typing import Any

import msgspec
import orjson

from accounts.authentication import Caller
from providers.schema import CHAT, Call

MOST_TEXT_BYTES = 8192
"""A longer question is hardly ever asked twice, and embeddings of it tell less."""

MOST_DIMENSIONS = 8192
MOST_ALIKE = 64
MOST_FILTERS_OF_ONE = 64
"""So many different prompts of one organisation are indexed, the ones used last, and so many questions of each."""

MOST_FILTERS = 1024
BEGINNING = b"-"
"""Of what others asked nothing has been read."""


class Similar(msgspec.Struct, frozen=True, gc=False):
    """`filter` names what has to be equal, `text` is what may be put otherwise.

    `stays_home`: the request goes to own machines alone, and so its question goes no further to be compared.
    """

    filter: bytes
    text: str
    caller: Caller
    stays_home: bool = False


def similar_of(
    head: tuple[Any, ...],
    call: Call,
    caller: Caller,
    canonical: Callable[[dict[str, Any]], bytes],
    *,
    stays_home: bool = False,
) -> Similar | None:
    """None for what does not end with a question in plain text, and where the caller says who may read it."""
    if call.endpoint != CHAT or call.preferences.only or call.preferences.ignore:
        return None
    *before, last = call.body["messages"]
    text = last.get("content")
    if last.get("role") != "user" or not isinstance(text, str) or not text.strip():
        return None
    if len(text.encode(errors="replace")) > MOST_TEXT_BYTES:
        return None
    rest = canonical({**call.body, "messages": [*before, {**last, "content": ""}]})
    named = blake2b(orjson.dumps(head) + rest, digest_size=24, person=b"similar").digest()
    return Similar(named, text, caller, stays_home)


Vector = array  # of single floats, of length one


def vector_of(numbers: Sequence[Any]) -> Vector[float] | None:
    """None for what is no direction."""
    if not 0 < len(numbers) <= MOST_DIMENSIONS:
        return None
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        return None
    length = math.hypot(*numbers)
    return array("f", (number / length for number in numbers)) if length > 0 else None


def similarity(first: Vector[float], second: Vector[float]) -> float:
    """The cosine; 0 for vectors of different models."""
    return sum(map(mul, first, second)) if len(first) == len(second) else 0.0


class _Known:
    """The questions of one filter, by the keys of their answers. `heard`: how far it was read what others asked."""

    __slots__ = ("heard", "questions")

    def __init__(self, heard: bytes) -> None:
        self.heard = heard
        self.questions: OrderedDict[bytes, Vector[float]] = OrderedDict()

    def add(self, digest: bytes, vector: Vector[float]) -> None:
        self.questions[digest] = vector
        self.questions.move_to_end(digest)
        while len(self.questions) > MOST_ALIKE:
            self.questions.popitem(last=False)


class Index:
    """What was asked lately, by organisation and by what has to be equal. Bounded."""

    def __init__(self) -> None:
        self._filters: OrderedDict[tuple[int, bytes], _Known] = OrderedDict()
        self._of_org: dict[int, int] = {}

    def add(self, org_id: int, named: bytes, vector: Vector[float], digest: bytes) -> None:
        """`digest` is the key of the entry that answers it, or will."""
        self._of(org_id, named).add(digest, vector)

    def hear(self, org_id: int, named: bytes, heard: bytes, questions: Iterable[tuple[bytes, Vector[float]]]) -> None:
        """What other processes were asked, which was read as far as `heard`."""
        known = self._of(org_id, named)
        known.heard = heard
        for digest, vector in questions:
            if digest not in known.questions:
                known.add(digest, vector)

    def heard(self, org_id: int, named: bytes) -> bytes:
        known = self._filters.get((org_id, named))
        return known.heard if known else BEGINNING

    def vector(self, org_id: int, named: bytes, digest: bytes) -> Vector[float] | None:
        """Of the very same question, if it was asked lately."""
        known = self._filters.get((org_id, named))
        return known.questions.get(digest) if known else None

    def alike(self, org_id: int, named: bytes, vector: Vector[float], threshold: float) -> list[tuple[float, bytes]]:
        """What is at least so similar, the most similar first."""
        known = self._filters.get((org_id, named))
        if not known:
            return []
        found = ((similarity(vector, other), digest) for digest, other in list(known.questions.items()))
        return sorted((entry for entry in found if entry[0] >= threshold), reverse=True)

    def _of(self, org_id: int, named: bytes) -> _Known:
        key = (org_id, named)
        known = self._filters.get(key)
        if known is None:
            known = self._filters[key] = _Known(BEGINNING)
            self._of_org[org_id] = self._of_org.get(org_id, 0) + 1
            self._make_room(org_id)
        self._filters.move_to_end(key)
        return known

    def _make_room(self, org_id: int) -> None:
        if self._of_org[org_id] > MOST_FILTERS_OF_ONE:
            self._drop(next(key for key in self._filters if key[0] == org_id))
        while len(self._filters) > MOST_FILTERS:
            self._drop(next(iter(self._filters)))

    def _drop(self, key: tuple[int, bytes]) -> None:
        del self._filters[key]
        self._of_org[key[0]] -= 1
        if not self._of_org[key[0]]:
            del self._of_org[key[0]]
