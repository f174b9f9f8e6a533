"""What a chat's stream says, as a response's, without a network: order, thoughts, several calls, odd chunks."""

from __future__ import annotations

import json

import pytest

from routing.chats import read
from routing.responses.streaming import ResponseEvents
from routing.responses.telling import head_of, response_of

HEAD = {"model": "m", "input": "x"}
THOUGHT = {"reasoning_content": "Hm."}


def chunk(delta=None, **rest) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
    return b"data: " + json.dumps({"choices": choices, **rest}).encode() + b"\n\n"


def call(index, name=None, arguments="", id=None):
    return {"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]}


def told(*chunks: bytes, size: int | None = None) -> list[dict]:
    stream = b"".join(chunks)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)] if size else chunks
    events = ResponseEvents(head_of(HEAD, "req_1", 7))
    text = b"".join(events.feed(piece) for piece in pieces).decode()
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]


def kinds(events) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


DONE = b"data: [DONE]\n\n"
SPOKEN = (chunk(THOUGHT), chunk({"content": "Yes"}), chunk({"content": "."}), DONE)


@pytest.mark.parametrize("size", [None, 1, 7])
def test_thoughts_are_an_item_before_the_words(size):
    events = told(*SPOKEN, size=size)
    assert kinds(events) == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]
    assert output[0]["summary"][0]["text"] == "Hm."
    assert output[1]["content"][0]["text"] == "Yes."


def test_whole_and_streamed_have_the_same_output():
    message = {
        **THOUGHT,
        "content": "Yes.",
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
    }
    whole = response_of(head_of(HEAD, "req_1", 7), read(json.dumps({"choices": [{"message": message}]}).encode()))
    streamed = told(*SPOKEN[:-1], chunk(call(0, "f", "{", "a")), chunk(call(0, None, "}")), DONE)[-1]["response"]
    assert streamed["output"] == whole["output"]


def test_pieces_of_several_calls_may_be_mixed():
    pieces = (call(0, "f", "", "a"), call(1, "g", "", "b"), call(0, None, "{}"), call(1, None, "[]"))
    events = told(*map(chunk, pieces), DONE)
    output = events[-1]["response"]["output"]
    assert [(item["call_id"], item["name"], item["arguments"]) for item in output] == [
        ("a", "f", "{}"),
        ("b", "g", "[]"),
    ]
    assert {event["output_index"] for event in events if event["type"].endswith("arguments.done")} == {0, 1}


def test_a_refusal_is_told_as_one():
    events = told(chunk({"refusal": "No."}), DONE)
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_other_choices_are_not_told():
    other = b'data: {"choices": [{"index": 1, "delta": {"content": "B"}}]}\n\n'
    assert told(other, chunk({"content": "A"}), DONE)[-1]["response"]["output"][0]["content"][0]["text"] == "A"


@pytest.mark.parametrize(
    "last", [b"data: {not json}\n\n", b'data: {"choices": [7]}\n\n', b'data: {"error": "away"}\n\n']
)
def test_what_cannot_be_told_ends_it_as_failed(last):
    events = told(chunk({"content": "A"}), last, chunk({"content": "B"}), DONE)
    assert kinds(events)[-2:] == ["failed", "error"]
    assert events[-2]["response"]["error"]["message"]
    assert events[-1]["error"]
