"""What a body may hold: every JSON value in every field that is looked at is either taken or named as wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidRequest
from providers.endpoints import KIND_OF_ENDPOINT
from providers.schema import CHAT, COMPLETIONS, EMBEDDINGS, Call, parse, upstream_body

MESSAGES = [{"role": "user", "content": "hi"}]
WHOLE = {"model": "m", "messages": MESSAGES, "prompt": "p", "input": "i"}
FIELDS = (
    *("model", "messages", "prompt", "input", "stream", "stream_options", "models", "provider", "user"),
    *("n", "best_of", "max_tokens", "max_completion_tokens", "n_predict", "tools", "response_format", "metadata"),
)
PREFERENCES = (
    *("order", "only", "ignore", "allow_fallbacks", "require_parameters", "sort", "max_price"),
    *("preferred_min_throughput", "preferred_max_latency", "data_collection", "quantizations"),
)
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
)
NAMES = st.text(max_size=6) | st.sampled_from(("role", "content", "type", "prompt", "completion"))


def nested(inner: st.SearchStrategy) -> st.SearchStrategy:
    """Has a name: Hypothesis parses the source of a lambda to tell of it, for which the stack may be too deep."""
    return st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)


JSON = st.recursive(PLAIN, nested, max_leaves=8)
ENDPOINTS = st.sampled_from(tuple(KIND_OF_ENDPOINT))


def read(body: dict, endpoint: str = CHAT) -> Call:
    return parse(endpoint, body, request_id="req_1", body_bytes=100)


def taken_or_named(endpoint: str, body: dict) -> bool:
    try:
        call = read(body, endpoint)
    except InvalidRequest as refusal:
        return bool(refusal.param)
    return upstream_body(call, "upstream")["model"] == "upstream"


@settings(max_examples=400)
@given(ENDPOINTS, st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1, max_size=3))
def test_any_value_in_any_field(endpoint, fields):
    assert taken_or_named(endpoint, WHOLE | fields)


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(PREFERENCES), JSON, min_size=1, max_size=3))
def test_any_value_in_any_preference(preferences):
    assert taken_or_named(CHAT, WHOLE | {"provider": preferences})


@pytest.mark.parametrize("sort", [["price"], {"by": "price"}, 7, True])
def test_a_sort_that_is_no_word_is_named(sort):
    with pytest.raises(InvalidRequest) as refused:
        read(WHOLE | {"provider": {"sort": sort}})
    assert refused.value.param == "provider.sort"


@pytest.mark.parametrize("endpoint", [COMPLETIONS, EMBEDDINGS])
@pytest.mark.parametrize("messages", ["hello", 5, ["hello"], [[]]])
def test_messages_mean_nothing_where_nobody_chats(endpoint, messages):
    call = read({"model": "m", "prompt": "p", "input": "i", "messages": messages}, endpoint)
    assert call.requires == frozenset()


@pytest.mark.parametrize("name", ["n", "best_of"])
@pytest.mark.parametrize("value", ["3", 2.0, 0, -1, True, 129, [2]])
def test_the_number_of_answers_is_beyond_doubt(name, value):
    """What the gateway reads as one answer and the upstream as many would be held for once and used many times."""
    with pytest.raises(InvalidRequest) as refused:
        read(WHOLE | {name: value})
    assert refused.value.param == name


def test_a_list_of_models_alone_is_enough():
    """As with OpenRouter, whose clients send no `model` beside it."""
    body = {name: value for name, value in WHOLE.items() if name not in ("model", "models")}
    asked = read(body | {"models": ["a:nitro", "b"]})
    assert (asked.model, asked.models, asked.preferences.sort) == ("a:nitro", ("a", "b"), "throughput")
    for models, param in (([], "model"), ([7], "models"), ("a", "model")):
        with pytest.raises(InvalidRequest) as refused:
            read(body | {"models": models})
        assert refused.value.param == param


@pytest.mark.parametrize("other", ["max_completion_tokens", "n_predict"])
def test_two_limits_that_differ_are_one_too_many(other):
    """An upstream may obey the larger, while the smaller is what was held for."""
    with pytest.raises(InvalidRequest) as refused:
        read(WHOLE | {"max_tokens": 1, other: 5000})
    assert refused.value.param in ("max_tokens", other)
    assert read(WHOLE | {"max_tokens": 7, other: 7}).max_tokens == 7


@pytest.mark.parametrize("value", [-1, 0, "9", 1.5])
def test_a_limit_by_llama_cpps_name_is_a_limit(value):
    assert read(WHOLE | {"n_predict": 9}).max_tokens == 9
    with pytest.raises(InvalidRequest):
        read(WHOLE | {"n_predict": value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data_collection", "maybe"),
        ("data_collection", True),
        ("zdr", "yes"),
        ("quantizations", "fp8"),
        ("quantizations", [8]),
        ("allow_fallbacks", "no"),
        ("require_parameters", 1.5),
        ("require_parameters", []),
    ],
)
def test_a_preference_that_is_none_is_named(name, value):
    with pytest.raises(InvalidRequest) as refused:
        read(WHOLE | {"provider": {name: value}})
    assert refused.value.param == f"provider.{name}"
