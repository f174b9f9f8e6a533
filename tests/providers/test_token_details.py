"""Kinds of tokens as upstreams report them, whole or at the end of a stream."""

import orjson
import pytest

from common.money import request_cost_nanos
from common.rates import FinerRates, TokenDetails
from providers.adapters.openai import OpenAIAdapter
from providers.adapters.openai_stream import usage_of_event
from providers.schema import CHAT, parse
from providers.targets import Price

USD = 10**9
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


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        # Counted in the prompt, as OpenAI would; without a total that is taken so.
        ({"prompt_tokens": 100, "total_tokens": 150}, (100, 60, 30)),
        ({"prompt_tokens": 100}, (100, 60, 30)),
        # Counted beside it, as Anthropic does: the total says so, or the parts are more than the whole.
        ({"prompt_tokens": 100, "total_tokens": 240}, (190, 60, 30)),
        ({"prompt_tokens": 10}, (100, 60, 30)),
        ({"prompt_tokens": 10, "total_tokens": 60}, (100, 60, 30)),
        # Told twice, in both vocabularies, it is counted once.
        ({"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 60}}, (100, 60, 30)),
        ({"prompt_tokens": 100, "prompt_tokens_details": {"cache_write_tokens": 30}}, (100, 60, 30)),
        # What cannot be is nothing.
        ({"prompt_tokens": 100, "cache_read_input_tokens": -60}, (100, 0, 30)),
        ({"prompt_tokens": 100, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}, (100, 0, 0)),
        ({"prompt_tokens": 100, "cache_creation_input_tokens": None, "cache_read_input_tokens": None}, (100, 0, 0)),
    ],
)
def test_the_cache_as_anthropic_tells_of_it(usage, read):
    cache = {"cache_creation_input_tokens": 30, "cache_read_input_tokens": 60}
    usage = {"completion_tokens": 50} | cache | usage
    body = orjson.dumps({"choices": [{"message": {"content": "hello"}}], "usage": usage})
    whole, streamed = OpenAIAdapter().completion(CALL, body).usage, usage_of_event(usage)
    assert whole is not None
    assert whole == streamed
    input_, cached, written = read
    assert (whole.input_tokens, whole.cached_tokens, whole.output_tokens) == (input_, cached, 50)
    assert whole.token_details == (TokenDetails(cache_write=written) if written else None)


def test_what_was_written_to_the_cache_costs_its_own_rate():
    """At the rates of a model of Anthropic, in dollars for a million: 3, read 0.30, written 3.75, answers 15."""
    rates = Price(3 * USD, 15 * USD, 3 * USD // 10, finer=FinerRates(cache_write_nanos=375 * USD // 100))
    usage = usage_of_event(
        {
            "prompt_tokens": 10,
            "completion_tokens": 50,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 60,
        }
    )
    assert usage is not None
    assert request_cost_nanos(usage, rates) == 10 * 3_000 + 60 * 300 + 30 * 3_750 + 50 * 15_000
