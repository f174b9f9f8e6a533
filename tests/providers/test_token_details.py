"""Kinds of tokens as upstreams report them, whole or at the end of a stream."""

import orjson
import pytest

from common.rates import TokenDetails
from providers.adapters.openai import OpenAIAdapter
from providers.adapters.openai_stream import usage_of_event
from providers.schema import CHAT, parse

CALL = parse(CHAT, {"model": "m", "messages": [{"role": "user", "content": "hi"}]}, request_id="r", body_bytes=9)
PLAIN = {"prompt_tokens": 100, "completion_tokens": 50}


@pytest.mark.parametrize(
    ("prompt", "answer", "told"),
    [
        (
            {"cache_write_tokens": 30, "audio_tokens": 20},
            {"reasoning_tokens": 10, "audio_tokens": 5},
            (30, 20, 10, 5),
        ),
        ({"cached_tokens": 90, "cache_write_tokens": 30}, {}, (10, 0, 0, 0)),
        ({}, {"reasoning_tokens": 900}, (0, 0, 50, 0)),
        ({"cached_tokens": 90}, {"reasoning_tokens": 0, "audio_tokens": 0}, None),
        ({"audio_tokens": -5}, {}, None),
        (None, None, None),
    ],
)
def test_both_forms_say_the_same(prompt, answer, told):
    usage = PLAIN | {"prompt_tokens_details": prompt, "completion_tokens_details": answer}
    body = orjson.dumps({"choices": [{"message": {"content": "hello"}}], "usage": usage})
    whole, streamed = OpenAIAdapter().completion(CALL, body).usage, usage_of_event(usage)
    assert whole is not None
    assert whole == streamed
    assert whole.token_details == (None if told is None else TokenDetails(*told))


@pytest.mark.parametrize("odd", ["x", [1], {"reasoning_tokens": "many"}, {"reasoning_tokens": 1.5}])
def test_odd_details_of_a_stream_are_none(odd):
    assert usage_of_event(PLAIN | {"completion_tokens_details": odd}).token_details is None
