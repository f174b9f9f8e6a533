"""The index of questions: what counts as the same, and that it stays bounded."""

from __future__ import annotations

import pytest

from accounts.authentication import Caller
from providers.schema import CHAT, parse
from routing import similar
from routing.cache_keys import canonical
from routing.similar import Index, similar_of, similarity, vector_of

CALLER = Caller(1, 1, "k", None, frozenset(), None)
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "What is it?"}


def of(**fields):
    body = {"model": "m", "messages": [SYSTEM, ASKED]} | fields
    return similar_of((1, 0), parse(CHAT, body, request_id="r", body_bytes=1), CALLER, canonical)


def test_only_the_last_question_may_be_put_otherwise():
    other = of(messages=[SYSTEM, {"role": "user", "content": "And that?"}])
    assert of().filter == other.filter
    assert other.text == "And that?"


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "system", "content": "Be rude."}, ASKED]},
        {"messages": [SYSTEM, ASKED, {"role": "assistant", "content": "?"}, ASKED]},
        {"model": "other"},
        {"temperature": 0.5},
        {"max_tokens": 5},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_everything_else_has_to_be_equal(fields):
    assert of(**fields).filter != of().filter


def test_what_is_no_plain_question_is_not_compared():
    picture = {"role": "user", "content": [{"type": "text", "text": "What is it?"}]}
    assert of(messages=[SYSTEM, picture]) is None
    assert of(messages=[ASKED, {"role": "assistant", "content": "It"}]) is None
    assert of(messages=[{"role": "user", "content": "x" * 9000}]) is None
    assert of(messages=[{"role": "user", "content": "  "}]) is None


def test_a_direction_is_a_direction_at_any_length():
    assert similarity(vector_of([3, 4]), vector_of([6, 8])) == pytest.approx(1)
    assert similarity(vector_of([1, 0]), vector_of([0, 1])) == 0
    assert similarity(vector_of([1, 0]), vector_of([1, 0, 0])) == 0
    for wrong in ([], [0, 0], ["a"], [float("nan")], [1.0] * 9000):
        assert vector_of(wrong) is None


def test_the_most_similar_comes_first_and_organisations_are_apart():
    index, asked = Index(), vector_of([1, 0])
    for digest, numbers in ((b"far", [0, 1]), (b"near", [1, 0.2]), (b"same", [1, 0])):
        index.add(1, b"f", vector_of(numbers), digest)
    assert [digest for _, digest in index.alike(1, b"f", asked, 0.9)] == [b"same", b"near"]
    assert index.alike(2, b"f", asked, 0.0) == []
    assert index.alike(1, b"other", asked, 0.0) == []


def test_it_is_bounded(monkeypatch):
    monkeypatch.setattr(similar, "MOST_ALIKE", 3)
    monkeypatch.setattr(similar, "MOST_FILTERS_OF_ONE", 2)
    monkeypatch.setattr(similar, "MOST_FILTERS", 3)
    index, asked = Index(), vector_of([1, 0])
    for number in range(5):
        index.add(1, b"f", asked, b"%d" % number)
    assert sorted(digest for _, digest in index.alike(1, b"f", asked, 0.5)) == [b"2", b"3", b"4"]
    for named in (b"g", b"h"):
        index.add(1, named, asked, b"x")
    assert index.alike(1, b"f", asked, 0.5) == []
    index.add(2, b"f", asked, b"x")
    index.add(3, b"f", asked, b"x")
    assert index.alike(1, b"g", asked, 0.5) == []
    assert index.alike(3, b"f", asked, 0.5)
