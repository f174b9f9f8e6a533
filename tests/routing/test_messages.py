"""Anthropic's Messages API by the official SDK, over targets that only know chats."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types.message_create_params import MessageCreateParamsBase

from common.errors import InvalidRequest
from metering.models import Usage
from routing.messages.asking import chat_of
from tests.ownredis import eventually

MODEL = "sim-chat"
HELLO = [{"role": "user", "content": "Hello"}]
ASKED = {"model": MODEL, "max_tokens": 900, "messages": HELLO}
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TOOL = {"name": "get_weather", "description": "The weather of a place", "input_schema": SCHEMA}
HEARD_TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather of a place", "parameters": SCHEMA},
}
FORM = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}

FIELDS = {
    "max_tokens": ({}, {"max_tokens": 900}),
    "messages": ({}, {"messages": HELLO}),
    "system": ({"system": "Be brief."}, {"messages": [{"role": "system", "content": "Be brief."}, *HELLO]}),
    "stop_sequences": ({"stop_sequences": ["END"]}, {"stop": ["END"]}),
    "tools": ({"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tools": [HEARD_TOOL], "tool_choice": "none"}),
    "tool_choice": (
        {"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"tools": [HEARD_TOOL], "tool_choice": "required", "parallel_tool_calls": False},
    ),
    "metadata": ({"metadata": {"user_id": "someone"}}, {"user": "someone"}),
    "thinking": ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, {"reasoning_effort": "medium"}),
    "output_config": (
        {"output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}},
        {"reasoning_effort": "low", "response_format": FORM},
    ),
    "service_tier": ({"service_tier": "standard_only"}, {}),
    "cache_control": ({"cache_control": {"type": "ephemeral"}}, {}),
}
"""What is asked, and how a target hears of it."""

REFUSED = {
    "container": {"container": "container_1"},
    "context_management": {"context_management": {"edits": []}},
    "inference_geo": {"inference_geo": "us"},
    "mcp_servers": {"mcp_servers": [{"type": "url", "url": "https://mcp.example", "name": "m"}]},
    "prefill": {"prefill": {}},
    "tools[0]": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
}
ELSEWHERE = {"diagnostics", "model", "speed", "user_profile_id", "workspace_id"}
"""Of no meaning to anybody but Anthropic; left out."""


@pytest.fixture
def served(tenant, upstreams):
    tenant.connect(upstreams.a.base_url, [MODEL])
    return tenant


@pytest.fixture
def sdk(gateway, served) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url, api_key=served.api_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.mark.parametrize(("asked", "heard"), FIELDS.values(), ids=FIELDS)
def test_each_field_of_the_sdk(sdk, upstreams, asked, heard):
    message = sdk.messages.create(**ASKED, extra_body=asked)
    assert (message.type, message.role) == ("message", "assistant")
    received = upstreams.a.log.last.body
    assert {name: received.get(name) for name in heard} == heard
    assert received.keys() <= {"model", "max_tokens", "messages"} | heard.keys()


def test_no_field_of_the_sdk_is_left_out():
    """A release of the SDK that knows another field fails here until somebody has thought of it."""
    assert set(MessageCreateParamsBase.__annotations__) <= FIELDS.keys() | REFUSED.keys() | ELSEWHERE


@pytest.mark.parametrize(("param", "asked"), REFUSED.items(), ids=REFUSED)
def test_what_only_anthropic_does_is_refused_by_name(sdk, upstreams, param, asked):
    with pytest.raises(anthropic.BadRequestError) as refused:
        sdk.messages.create(**ASKED, extra_body=asked)
    error = refused.value.body["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "unsupported_parameter", param)
    assert not upstreams.a.log.posts


def test_stream_and_whole_say_the_same(sdk, served):
    whole = sdk.messages.create(**ASKED)
    kinds, parts = [], []
    with sdk.messages.stream(**ASKED) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "content_block_delta":
                parts.append(event.delta.text)
        final = stream.get_final_message()
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    [block] = whole.content
    assert "".join(parts) == block.text == final.content[0].text
    assert (whole.stop_reason, final.stop_reason) == ("end_turn", "end_turn")
    used, said = final.usage, whole.usage
    assert (used.input_tokens, used.output_tokens) == (said.input_tokens, said.output_tokens)
    assert said.input_tokens > 0
    assert said.output_tokens > 0
    rows = Usage.objects.filter(org_id=served.org.pk, endpoint="chat/completions")
    eventually(lambda: rows.count() == 2, 10)
    assert {(row.input_tokens, row.output_tokens) for row in rows} == {(said.input_tokens, said.output_tokens)}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"max_tokens": 2}, "max_tokens"),
        ({"messages": [{"role": "user", "content": "[[content_filter]]"}]}, "refusal"),
        ({"tools": [TOOL]}, "tool_use"),
    ],
)
def test_why_it_ended(sdk, asked, reason, stream):
    if stream:
        with sdk.messages.stream(**ASKED | asked) as events:
            message = events.get_final_message()
    else:
        message = sdk.messages.create(**ASKED | asked)
    assert (message.stop_reason, message.stop_sequence) == (reason, None)


@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_of_tools(sdk, upstreams, stream):
    messages = [{"role": "user", "content": [{"type": "text", "text": "How is the weather?"}]}]

    def ask():
        asked = ASKED | {"messages": messages, "tools": [TOOL]}
        if not stream:
            return sdk.messages.create(**asked)
        with sdk.messages.stream(**asked) as events:
            return events.get_final_message()

    first = ask()
    [call] = first.content
    assert (call.type, call.name) == ("tool_use", "get_weather")
    assert call.input.keys() == {"place"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "24 °C"}]}
    messages += [
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": [result]},
    ]
    assert ask().content[0].text
    heard = upstreams.a.log.last.body["messages"]
    assert [message["role"] for message in heard] == ["user", "assistant", "tool"]
    assert heard[1]["tool_calls"][0]["id"] == heard[2]["tool_call_id"] == call.id
    assert json.loads(heard[1]["tool_calls"][0]["function"]["arguments"]) == call.input
    assert heard[2]["content"] == "24 °C"


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
    kinds = []
    with pytest.raises(anthropic.APIError) as broken:
        kinds.extend(event.type for event in sdk.messages.create(**ASKED, stream=True))
    assert "content_block_delta" in kinds
    assert "message_stop" not in kinds
    assert broken.value.body["error"]["code"] == "upstream_interrupted"


def test_refusals_have_the_sdk_s_own_classes(gateway, sdk, served):
    with pytest.raises(anthropic.NotFoundError) as missing:
        sdk.messages.create(**ASKED | {"model": MODEL + "t"})
    assert missing.value.body["error"]["type"] == "not_found_error"
    assert MODEL in missing.value.body["error"]["metadata"]["near"]
    with (
        pytest.raises(anthropic.AuthenticationError) as unknown,
        Anthropic(base_url=gateway.url, api_key="sk-sai-nonsense", max_retries=0) as stranger,
    ):
        stranger.messages.create(**ASKED)
    assert unknown.value.body["error"]["type"] == "authentication_error"
    assert unknown.value.body["request_id"] == unknown.value.response.headers["x-request-id"]
    _, plain = served.new_key(allowed_models=["other"])
    with (
        pytest.raises(anthropic.PermissionDeniedError),
        Anthropic(base_url=gateway.url, api_key=plain, max_retries=0) as bound,
    ):
        bound.messages.create(**ASKED)


def test_its_address_is_told_to_who_has_it_twice(gateway, served):
    with (
        pytest.raises(anthropic.NotFoundError, match="ends before /v1"),
        Anthropic(base_url=gateway.base_url, api_key=served.api_key, max_retries=0) as client,
    ):
        client.messages.create(**ASKED)


def test_a_bearer_token_is_a_key_too(gateway, served):
    with Anthropic(base_url=gateway.url, auth_token=served.api_key, max_retries=0) as client:
        assert client.messages.create(**ASKED).content


@pytest.mark.parametrize("stream", [False, True])
def test_the_trace_comes_along_and_a_key_asks_once(served, http, upstreams, stream):
    headers = {"X-ShareAI-Metadata": "enabled", "Idempotency-Key": f"once-{stream}"}
    first, second = (http.post("/v1/messages", json=ASKED | {"stream": stream}, headers=headers) for _ in range(2))
    assert '"shareai":{"route"' in first.text
    assert re.findall(r"msg_\w+", first.text) == re.findall(r"msg_\w+", second.text)
    assert second.headers["idempotent-replayed"] == "true"
    assert len(upstreams.a.log.posts) == 1


def test_tokens_are_counted_without_asking(sdk, upstreams):
    bare = sdk.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens
    more = sdk.messages.count_tokens(model=MODEL, messages=HELLO, system="Be brief.", tools=[TOOL]).input_tokens
    assert 0 < bare < more
    assert not upstreams.a.log.posts


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": ["text"]}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "assistant", "content": [{"type": ["x"]}]}]}, "messages[0].content[0]"),
        ({"system": 7}, "system"),
        ({"system": [{"type": "image"}]}, "system"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"tools": "all"}, "tools"),
        ({"tools": [{"name": "x"}]}, "tools[0]"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": ["any"]}}, "tool_choice"),
        ({"metadata": "x"}, "metadata"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": "json"}}, "output_config.format"),
    ],
)
def test_odd_requests_name_their_field(wish, param):
    with pytest.raises(InvalidRequest) as refused:
        chat_of(ASKED | wish)
    assert refused.value.param == param


def test_pictures_documents_and_thoughts_become_messages():
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    linked = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    paper = {"type": "document", "title": "a.pdf", "source": picture["source"] | {"media_type": "application/pdf"}}
    note = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a note"}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    seen = {"type": "tool_result", "tool_use_id": "call_1", "content": [picture]}
    calls = [{"type": "tool_use", "id": "call_1", "name": "look", "input": {}}]
    wish = ASKED | {
        "system": [{"type": "text", "text": "one"}, {"type": "text", "text": "two", "cache_control": {}}],
        "messages": [
            {"role": "user", "content": [picture, linked, paper, note]},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "I look."}, *calls]},
            {"role": "user", "content": [{"type": "text", "text": "Well?"}, seen]},
            {"role": "assistant", "content": [thought]},
        ],
    }
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    called = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert chat_of(wish)["messages"] == [
        {"role": "system", "content": "one\n\ntwo"},
        {
            "role": "user",
            "content": [
                shown,
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
                {"type": "text", "text": "a note"},
            ],
        },
        {"role": "assistant", "content": "I look.", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "Well?"}, shown]},
        {"role": "assistant", "content": ""},
    ]
