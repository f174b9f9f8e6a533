"""What a chat's stream says, as a message's, without a network: order, thoughts, several calls, odd chunks."""

from __future__ import annotations

import json

import pytest

from routing.chats import read
from routing.messages.streaming import MessageEvents
from routing.messages.telling import error_of, head_of, message_of

THOUGHT = {"reasoning_content": "Hm."}
DONE = b"data: [DONE]\n\n"


def chunk(delta=None, finish=None, **rest) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish, **rest}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def call(index, name=None, arguments="", id=None):
    return {"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]}


def told(*chunks: bytes, size: int | None = None) -> list[dict]:
    stream = b"".join(chunks)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)] if size else chunks
    events = MessageEvents(head_of("m", "req_1"), "req_1")
    text = b"".join(events.feed(piece) for piece in pieces).decode()
    lines = [line.partition(": ") for line in text.split("\n") if line]
    said = [json.loads(value) for name, _, value in lines if name == "data"]
    assert [value for name, _, value in lines if name == "event"] == [event["type"] for event in said]
    return said


def shape(events) -> list[tuple[str, int | None]]:
    return [(event["type"].removeprefix("content_block_"), event.get("index")) for event in events]


@pytest.mark.parametrize("size", [None, 1, 7])
def test_thoughts_are_a_block_before_the_words(size):
    spoken = (chunk(THOUGHT), chunk({"content": "Yes"}), chunk({"content": "."}), chunk(finish="stop"), DONE)
    events = told(*spoken, size=size)
    assert shape(events) == [
        ("message_start", None),
        *(("start", 0), ("delta", 0), ("stop", 0)),
        *(("start", 1), ("delta", 1), ("delta", 1), ("stop", 1)),
        *(("message_delta", None), ("message_stop", None)),
    ]
    assert [event["content_block"]["type"] for event in events if "content_block" in event] == ["thinking", "text"]
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


def test_pieces_of_several_calls_may_be_mixed():
    pieces = (call(0, "f", "", "a"), call(1, "g", "", "b"), call(0, None, "{}"), call(1, None, "[]"))
    events = told(*map(chunk, pieces), DONE)
    begun = [event["content_block"] for event in events if "content_block" in event]
    assert [(block["id"], block["name"], block["input"]) for block in begun] == [("a", "f", {}), ("b", "g", {})]
    deltas = [
        (event["index"], event["delta"]["partial_json"]) for event in events if "index" in event and "delta" in event
    ]
    assert deltas == [(0, "{}"), (1, "[]")]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_the_stop_sequence_is_told_where_the_target_tells_it():
    events = told(chunk({"content": "A"}), chunk(finish="stop", stop_reason="END"), DONE)
    assert events[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_what_was_read_from_a_cache_is_counted_beside_the_input():
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    answer = read(json.dumps({"choices": [{"message": {"content": "A"}}], "usage": usage}).encode())
    said = message_of(head_of("m", "req_1"), answer)["usage"]
    assert said == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 2,
    }


@pytest.mark.parametrize("arguments", ["{half", "[]", "7"])
def test_arguments_that_are_no_object_are_told_as_they_came(arguments):
    calls = [{"id": "a", "function": {"name": "f", "arguments": arguments}}]
    answer = read(json.dumps({"choices": [{"message": {"tool_calls": calls}}]}).encode())
    [block] = message_of(head_of("m", "req_1"), answer)["content"]
    assert block["input"] == {"INVALID_JSON": arguments}


def test_other_choices_are_not_told():
    other = b'data: {"choices": [{"index": 1, "delta": {"content": "B"}}]}\n\n'
    assert ("start", 1) not in shape(told(other, chunk({"content": "A"}), DONE))


@pytest.mark.parametrize(
    "last", [b"data: {not json}\n\n", b'data: {"choices": [7]}\n\n', b'data: {"error": "away"}\n\n']
)
def test_what_cannot_be_told_ends_it_with_an_error(last):
    events = told(chunk({"content": "A"}), last, chunk({"content": "B"}), DONE)
    assert shape(events)[-2:] == [("delta", 0), ("error", None)]
    assert events[-1]["error"]["type"] == "api_error"
    assert events[-1]["error"]["message"]
    assert events[-1]["request_id"] == "req_1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (402, "billing_error"),
        (409, "invalid_request_error"),
        (503, "overloaded_error"),
    ],
)
def test_errors_by_their_status(status, kind):
    told = error_of(status, {"type": "ours", "message": "m", "code": "c"}, "req_1")
    assert told == {"type": "error", "error": {"type": kind, "message": "m", "code": "c"}, "request_id": "req_1"}
