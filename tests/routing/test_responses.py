"""OpenAI's Responses API by the official SDK, over targets that only know chats."""

from __future__ import annotations

import json
import re

import openai
import pytest
from openai import OpenAI
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import BaseModel

from providers.schema import CHAT, parse
from routing.responses.asking import chat_of

MODEL = "sim-chat"
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a place",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
        "additionalProperties": False,
    },
}

FIELDS = {
    "input": ({}, {}),
    "instructions": ({"instructions": "Be brief."}, {}),
    "max_output_tokens": ({"max_output_tokens": 900}, {"max_completion_tokens": 900}),
    "temperature": ({"temperature": 0.2}, {"temperature": 0.2}),
    "top_p": ({"top_p": 0.9}, {"top_p": 0.9}),
    "tools": ({"tools": [TOOL], "tool_choice": "none"}, {"tool_choice": "none"}),
    "tool_choice": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "get_weather"}},
        {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
    ),
    "parallel_tool_calls": ({"tools": [TOOL], "parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    "text": ({"text": {"verbosity": "low", "format": {"type": "json_object"}}}, {"verbosity": "low"}),
    "reasoning": ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
    "include": ({"include": ["reasoning.encrypted_content"]}, {}),
    "top_logprobs": ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
    "metadata": ({"metadata": {"team": "a"}}, {}),
    "store": ({"store": False}, {"store": False}),
    "truncation": ({"truncation": "auto"}, {}),
    "max_tool_calls": ({"max_tool_calls": 3}, {}),
    "context_management": ({"context_management": [{"type": "compaction"}]}, {}),
    "user": ({"user": "someone"}, {"user": "someone"}),
    "safety_identifier": ({"safety_identifier": "someone"}, {"safety_identifier": "someone"}),
    "prompt_cache_key": ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
    "prompt_cache_retention": ({"prompt_cache_retention": "24h"}, {"prompt_cache_retention": "24h"}),
    "service_tier": ({"service_tier": "auto"}, {"service_tier": "auto"}),
    "stream_options": ({"stream_options": {"include_obfuscation": False}}, {}),
}
"""What is asked, and how a target hears of it."""

REFUSED = {
    "previous_response_id": {"previous_response_id": "resp_1"},
    "conversation": {"conversation": "conv_1"},
    "prompt": {"prompt": {"id": "pmpt_1"}},
    "background": {"background": True},
    "tools[0]": {"tools": [{"type": "web_search"}]},
    "input[0]": {"input": [{"type": "item_reference", "id": "msg_1"}]},
}
ELSEWHERE = {"access_programs", "background_options", "image", "model", "moderation", "prompt_cache_options"}
"""Fields that pass as they are, or tell of what is refused."""


@pytest.fixture
def sdk(client: OpenAI, tenant, upstreams) -> OpenAI:
    tenant.connect(upstreams.a.base_url, [MODEL])
    return client


@pytest.mark.parametrize(("asked", "heard"), FIELDS.values(), ids=FIELDS)
def test_each_field_of_the_sdk(sdk, upstreams, asked, heard):
    answer = sdk.responses.create(**{"model": MODEL, "input": "Hello"} | asked)
    assert answer.status == "completed"
    assert answer.output
    received = upstreams.a.log.last.body
    assert {name: received.get(name) for name in heard} == heard
    known = {"messages", "model", "tools", "tool_choice", "response_format"} | heard.keys()
    assert received.keys() <= known


def test_no_field_of_the_sdk_is_left_out():
    """A release of the SDK that knows another field fails here until somebody has thought of it."""
    assert set(ResponseCreateParamsBase.__annotations__) <= FIELDS.keys() | REFUSED.keys() | ELSEWHERE


@pytest.mark.parametrize(("param", "asked"), REFUSED.items(), ids=REFUSED)
def test_what_needs_a_memory_is_refused_by_name(sdk, upstreams, param, asked):
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.responses.create(**{"model": MODEL, "input": "Hello"} | asked)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)
    assert not upstreams.a.log.posts


@pytest.mark.parametrize("asked", [{}, {"instructions": "Be brief."}])
def test_stream_and_whole_say_the_same(sdk, asked):
    whole = sdk.responses.create(model=MODEL, input="Hello", **asked)
    events = list(sdk.responses.create(model=MODEL, input="Hello", stream=True, **asked))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage == whole.usage
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "reason"),
    [({"max_output_tokens": 2}, "max_output_tokens"), ({"input": "[[content_filter]]"}, "content_filter")],
)
def test_an_answer_that_ends_early_says_why(sdk, asked, reason, stream):
    answer = sdk.responses.create(**{"model": MODEL, "input": "Hello", "stream": stream} | asked)
    response = list(answer)[-1].response if stream else answer
    assert (response.status, response.incomplete_details.reason) == ("incomplete", reason)


@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_of_tools(sdk, upstreams, stream):
    items = [{"role": "user", "content": [{"type": "input_text", "text": "How is the weather?"}]}]
    asked = {"model": MODEL, "tools": [TOOL], "stream": stream}

    def ask():
        answer = sdk.responses.create(input=items, **asked)
        return list(answer)[-1].response if stream else answer

    first = ask()
    (call,) = first.output
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert json.loads(call.arguments).keys() == {"place"}
    items += [call.model_dump(), {"type": "function_call_output", "call_id": call.call_id, "output": "24 °C"}]
    assert ask().output_text
    heard = upstreams.a.log.last.body["messages"]
    assert [message["role"] for message in heard] == ["user", "assistant", "tool"]
    assert heard[0]["content"] == "How is the weather?"
    assert heard[1]["tool_calls"][0]["id"] == heard[2]["tool_call_id"] == call.call_id


def test_structured_output_by_the_sdk_parser(sdk):
    class Person(BaseModel):
        name: str
        age: int

    parsed = sdk.responses.parse(model=MODEL, input="Who?", text_format=Person)
    assert isinstance(parsed.output_parsed, Person)


def test_a_stream_by_the_sdk_s_manager(sdk):
    with sdk.responses.stream(model=MODEL, input="Hello", tools=[TOOL]) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert "response.function_call_arguments.done" in kinds
    assert final.output[0].arguments


@pytest.fixture
def paced(upstreams):
    """Slowly enough that a stream has begun before it breaks off."""
    usual = upstreams.a.manners.token_interval_s
    upstreams.a.manners.token_interval_s = 0.01
    yield upstreams
    upstreams.a.manners.token_interval_s = usual


@pytest.mark.parametrize("fault", ["error-event-midway", "reset-midstream"])
def test_a_stream_that_breaks_off_raises(sdk, paced, fault):
    paced.a.fail(fault)
    events = []
    with pytest.raises(openai.APIError):
        events.extend(sdk.responses.create(model=MODEL, input="Hello [[tokens=20]]", stream=True))
    kinds = [event.type for event in events]
    assert "response.output_text.delta" in kinds
    assert kinds[-1] == "response.failed"


def test_an_outage_is_gone_round(sdk, tenant, upstreams):
    tenant.connect(upstreams.b.base_url, [MODEL])
    upstreams.a.fail("500")
    answers = [sdk.responses.create(model=MODEL, input=f"Hello {n}") for n in range(3)]
    assert all("from B" in answer.output_text for answer in answers)


def test_what_fails_at_once_is_the_error_of_a_chat(sdk):
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.responses.create(model="no-such-model", input="Hello", stream=True)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="not stored"):
        sdk.responses.retrieve("resp_01")


@pytest.mark.parametrize("stream", [False, True])
def test_an_idempotency_key_answers_twice_and_asks_once(sdk, upstreams, stream):
    def ask():
        raw = sdk.with_raw_response.responses.create(
            model=MODEL, input="Hello", stream=stream, extra_headers={"Idempotency-Key": f"once-{stream}"}
        )
        text = raw.http_response.read().decode()
        return text.count("response.output_text.delta"), set(re.findall(r"resp_\w+", text))

    assert ask() == ask()
    assert len(upstreams.a.log.posts) == 1


def test_the_trace_comes_along(sdk):
    asked = {"model": MODEL, "input": "Hello", "extra_headers": {"X-ShareAI-Metadata": "enabled"}}
    for answer in (sdk.responses.create(**asked), list(sdk.responses.create(**asked, stream=True))[-1].response):
        assert answer.model_extra["shareai"]["attempts"][0]["outcome"] == "ok"


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": ["text"]}, "input[0]"),
        ({"input": [{"content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": ["message"]}]}, "input[0]"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0]"),
        ({"input": [{"type": "function_call_output"}]}, "input[0].call_id"),
        ({"input": "x", "instructions": 1}, "instructions"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "x", "tools": "all"}, "tools"),
        ({"input": "x", "text": []}, "text"),
        ({"input": "x", "text": {"format": "json"}}, "text.format"),
        ({"input": "x", "reasoning": "much"}, "reasoning"),
    ],
)
def test_odd_requests_name_their_field(http, wish, param):
    refused = http.post("/v1/responses", json={"model": MODEL} | wish)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_of_tools_nothing_is_said_where_there_are_none():
    chat = chat_of({"model": MODEL, "input": "x", "tools": [], "tool_choice": "auto", "parallel_tool_calls": True})
    assert chat.keys() == {"model", "messages"}


def test_pictures_calls_and_thoughts_become_messages():
    chat = chat_of(
        {
            "model": MODEL,
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": "data:,x", "detail": "low"}]},
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "one"}]},
                {"type": "function_call_output", "call_id": "2", "output": "two"},
            ],
        }
    )
    seen, said, *results = chat["messages"]
    assert seen["content"] == [{"type": "image_url", "image_url": {"url": "data:,x", "detail": "low"}}]
    assert (said["content"], [call["id"] for call in said["tool_calls"]]) == ("I look.", ["1", "2"])
    assert [(result["tool_call_id"], result["content"]) for result in results] == [("1", "one"), ("2", "two")]
    assert "vision" in parse(CHAT, chat, request_id="req_1", body_bytes=1).requires
