"""The official Python SDK against the gateway, only `base_url` and key changed: S1 and S2."""

from __future__ import annotations

import base64
import struct

import openai
import pytest
from openai import OpenAI
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.completion_create_params import CompletionCreateParamsBase as LegacyParams
from openai.types.embedding_create_params import EmbeddingCreateParams

MODEL = "sim-chat"
EMBED = "sim-embed"
ASK = [{"role": "user", "content": "Say something about gateways."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
        },
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    },
}

MEDIA = (
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
)
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
}

FIELDS = {
    "plain": {},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, *ASK]},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, *ASK]},
    "turns": {"messages": [*ASK, {"role": "assistant", "content": "Well."}, {"role": "user", "content": "Go on."}]},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]},
    "thai": {"messages": [{"role": "user", "content": "สวัสดีครับ บอกเล่าเรื่องเกตเวย์ \u2028 หน่อย"}]},
    "temperature": {"temperature": 0.2},
    "top_p": {"top_p": 0.9},
    "max_tokens": {"max_tokens": 5},
    "max_completion_tokens": {"max_completion_tokens": 5},
    "stop": {"stop": ["."]},
    "n": {"n": 2},
    "seed": {"seed": 7},
    "penalties": {"frequency_penalty": 0.5, "presence_penalty": -0.5},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "logprobs": {"logprobs": False},
    "user": {"user": "someone"},
    "metadata": {"metadata": {"team": "a"}, "store": False},
    "reasoning_effort": {"reasoning_effort": "low"},
    "service_tier": {"service_tier": "auto"},
    "parallel_tool_calls": {"tools": [TOOL], "parallel_tool_calls": False},
    "tools_auto": {"tools": [TOOL], "tool_choice": "auto"},
    "tools_none": {"tools": [TOOL], "tool_choice": "none"},
    "json_object": {"response_format": {"type": "json_object"}},
    "json_schema": {"response_format": SCHEMA},
    "functions": {"functions": [{"name": "f", "parameters": {"type": "object"}}], "function_call": "none"},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "prediction": {"prediction": {"type": "content", "content": "Well."}},
    "audio": {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"}},
    "prompt_cache": {
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "auto"},
    },
    "safety_identifier": {"safety_identifier": "someone"},
    "verbosity": {"verbosity": "low"},
    "web_search": {"web_search_options": {"search_context_size": "low"}},
    "moderation": {"moderation": {"policy": {"input": {"mode": "score"}}}},
    "tool_results": {"messages": [*ASK, CALLED, {"role": "tool", "tool_call_id": "call_1", "content": "24 °C"}]},
    "unknown_field": {"extra_body": {"some_vendor_field": {"a": 1}}},
    "routing_fields": {"extra_body": {"models": ["nothing-else"], "provider": {"sort": "price"}}},
}


LEGACY = {
    "prompt": "Once upon a time",
    "suffix": "The end.",
    "best_of": 2,
    "n": 2,
    "echo": False,
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.9,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "logit_bias": {"50256": -100},
    "logprobs": 1,
    "seed": 7,
    "stop": ["."],
    "user": "someone",
}
EMBEDDED = {"dimensions": 8, "encoding_format": "float", "user": "someone"}


@pytest.fixture
def sdk(client: OpenAI, tenant, upstreams) -> OpenAI:
    """The SDK in front of one well-behaved upstream."""
    tenant.connect(upstreams.a.base_url, [MODEL, {"id": EMBED, "kind": "embedding"}])
    return client


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS.keys())
def test_each_request_field_unary(sdk, upstreams, fields):
    answer = sdk.chat.completions.create(**{"model": MODEL, "messages": ASK} | fields)
    assert answer.object == "chat.completion"
    assert len(answer.choices) == fields.get("n", 1)
    assert answer.choices[0].finish_reason in {"stop", "length", "tool_calls"}
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer._request_id.startswith("req_")
    _assert_arrived(upstreams.a.log.last.body, fields)


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS.keys())
def test_each_request_field_streamed(sdk, upstreams, fields):
    wish = {"model": MODEL, "messages": ASK, "stream": True, "stream_options": {"include_usage": True}}
    chunks = list(sdk.chat.completions.create(**wish | fields))
    usage = chunks[-1].usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert len(reasons) == fields.get("n", 1)
    assert set(reasons) <= {"stop", "length", "tool_calls"}
    _assert_arrived(upstreams.a.log.last.body, fields)


@pytest.mark.parametrize("stream", [False, True])
def test_pictures_sounds_and_files_arrive_as_they_are(sdk, upstreams, stream):
    """At a target of which nobody knows that it could not see."""
    asked = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *MEDIA]}]
    answer = sdk.chat.completions.create(model=MODEL, messages=asked, stream=stream)
    assert list(answer) if stream else answer.choices
    assert upstreams.a.log.last.body["messages"] == asked


def test_no_field_of_the_sdk_is_left_out():
    """A release of the SDK that knows another field fails here until it is in the matrix."""
    asked = {name for fields in FIELDS.values() for name in fields} | {"model", "messages", "stream_options"}
    assert set(CompletionCreateParamsBase.__annotations__) <= asked
    assert set(LegacyParams.__annotations__) <= set(LEGACY) | {"model", "stream_options"}
    assert set(EmbeddingCreateParams.__annotations__) <= {*EMBEDDED, "model", "input"}


def _assert_arrived(received: dict, fields: dict) -> None:
    """What was asked arrived unchanged; what is ours was taken out."""
    expected = {name: value for name, value in fields.items() if name != "extra_body"}
    if "some_vendor_field" in fields.get("extra_body", {}):
        expected["some_vendor_field"] = {"a": 1}
    assert {name: received.get(name) for name in expected} == expected
    assert "provider" not in received
    assert "models" not in received


def test_a_stream_without_include_usage_shows_none(sdk):
    chunks = list(sdk.chat.completions.create(model=MODEL, messages=ASK, stream=True))
    assert {chunk.usage for chunk in chunks} == {None}
    assert all(chunk.choices for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "stop"),
        ({"max_tokens": 2}, "length"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_calls"),
        ({"messages": [{"role": "user", "content": "[[content_filter]] please"}]}, "content_filter"),
    ],
)
def test_each_finish_reason(sdk, fields, reason, stream):
    answer = sdk.chat.completions.create(**{"model": MODEL, "messages": ASK, "stream": stream} | fields)
    if stream:
        seen = [choice.finish_reason for chunk in answer for choice in chunk.choices if choice.finish_reason]
        assert seen == [reason]
    else:
        assert answer.choices[0].finish_reason == reason
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_stream_and_unary_say_the_same(sdk):
    whole = sdk.chat.completions.create(model=MODEL, messages=ASK).choices[0].message.content
    chunks = sdk.chat.completions.create(model=MODEL, messages=ASK, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert len(whole) > 20


def test_structured_output_by_the_sdk_parser(sdk):
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str
        age: int

    parsed = sdk.chat.completions.parse(model=MODEL, messages=ASK, response_format=Person)
    assert isinstance(parsed.choices[0].message.parsed, Person)


def test_legacy_completions(sdk):
    answer = sdk.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=8)
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    chunks = list(sdk.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=8, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text


def test_every_field_of_legacy_completions_arrives(sdk, upstreams):
    answer = sdk.completions.create(model=MODEL, **LEGACY)
    assert len(answer.choices) == LEGACY["n"]
    received = upstreams.a.log.last.body
    assert {name: received.get(name) for name in LEGACY} == LEGACY


def test_every_field_of_embeddings_arrives(sdk, upstreams):
    sdk.embeddings.create(model=EMBED, input="x", **EMBEDDED)
    received = upstreams.a.log.last.body
    assert {name: received.get(name) for name in EMBEDDED} == EMBEDDED


@pytest.mark.parametrize("given", ["one text", ["two", "texts"], [[1, 2, 3]], [1, 2, 3]])
def test_embeddings_of_texts_and_tokens(sdk, given):
    answer = sdk.embeddings.create(model=EMBED, input=given)
    assert answer.object == "list"
    assert len(answer.data) == (2 if given == ["two", "texts"] else 1)
    assert isinstance(answer.data[0].embedding[0], float)
    assert answer.usage.total_tokens > 0


def test_embeddings_in_base64_hold_the_same_figures(sdk):
    floats = sdk.embeddings.create(model=EMBED, input="x", encoding_format="float").data[0].embedding
    packed = sdk.with_raw_response.embeddings.create(model=EMBED, input="x", encoding_format="base64")
    text = packed.http_response.json()["data"][0]["embedding"]
    figures = struct.unpack(f"<{len(floats)}f", base64.b64decode(text))
    assert figures == pytest.approx(floats, rel=1e-6)


@pytest.fixture
def pinned() -> str:
    """The chat model's name at the one target that has it."""
    return f"upstream-a/{MODEL}"


def test_models_are_listed_and_found(sdk, pinned):
    listed = {model.id: model for model in sdk.models.list()}
    assert {MODEL, EMBED} <= set(listed)
    assert sdk.models.retrieve(MODEL).id == MODEL
    assert sdk.models.retrieve(pinned).id == pinned
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("no/such/model")
    with pytest.raises(openai.NotFoundError) as refused:
        sdk.models.retrieve(MODEL + "t")
    assert MODEL in refused.value.body["metadata"]["near"]


async def test_the_asynchronous_client_streams(sdk, gateway, tenant):
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key=tenant.api_key, max_retries=0) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
        text = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(text)
