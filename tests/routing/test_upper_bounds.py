"""The most that a request can use: no field of it may make an upstream write more than was held for."""

from __future__ import annotations

import pytest

from providers.schema import CHAT, COMPLETIONS, parse
from routing.upper_bounds import choices_of, size_of


def completion(**fields):
    return parse(COMPLETIONS, {"model": "m", "prompt": "p"} | fields, request_id="req_1", body_bytes=100)


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"n": 2, "best_of": 5}, 5),
        ({"prompt": ["one"]}, 1),
        ({"prompt": ["one", "two", "three"]}, 3),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": ["one", "two"], "n": 4}, 8),
        ({"prompt": []}, 1),
    ],
)
def test_every_answer_to_every_prompt_counts(fields, answers):
    call = completion(max_tokens=10, **fields)
    assert choices_of(call) == answers
    assert size_of(call, 10).output_tokens == 10 * answers


def test_a_prompt_means_nothing_to_a_chat():
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "prompt": ["a", "b"]}
    assert choices_of(parse(CHAT, body, request_id="req_1", body_bytes=100)) == 1
