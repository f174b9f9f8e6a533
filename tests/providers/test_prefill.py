"""How an answer that was begun is put to who goes on with it."""

from __future__ import annotations

import orjson
import pytest

from providers.adapters import ADAPTERS
from providers.adapters.openai_stream import OpenAIStreamDecoder
from providers.adapters.spliced import SplicedDecoder, head_of
from providers.prefill import continued, may_be_continued
from tests.routing.builders import call, target

HEAD = {"id": "a-1", "created": 1, "model": "m"}


def event(**choice) -> bytes:
    told = {"id": "b-2", "created": 2, "model": "n", "choices": [{"index": 0} | choice]}
    return b"data: " + orjson.dumps(told) + b"\n\n"


def test_no_token_left_is_nothing_to_go_on_with():
    asked = call(stream=True, max_tokens=5)
    assert continued(asked, "one two three", 5) is None
    assert continued(asked, "one two", 4).body["max_tokens"] == 1


def test_of_two_names_of_the_limit_each_that_was_sent_is_lowered():
    body = continued(call(stream=True, max_tokens=7, max_completion_tokens=7), "one", 2).body
    assert (body["max_tokens"], body["max_completion_tokens"]) == (5, 5)


def test_after_a_call_of_a_tool_by_the_assistant_nothing_goes_on():
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": [{}]}]
    assert continued(call(stream=True, messages=messages), "one", 1) is None


def test_a_whole_answer_is_not_continued():
    assert not may_be_continued(call())
    assert may_be_continued(call(stream=True, response_format={"type": "text"}))


@pytest.mark.parametrize(("runtime", "told"), [("vllm", True), ("sglang", True), ("", None)])
def test_who_wants_to_be_told_is(runtime, told):
    going_on = continued(call(stream=True), "one", 1)
    options = {"runtime": runtime} if runtime else {}
    sent = orjson.loads(ADAPTERS["openai"].request(going_on, target("a", options=options), None).body)
    assert sent.get("continue_final_message") is told
    assert sent.get("add_generation_prompt") is (False if told else None)


def test_events_are_put_under_one_head_and_the_opening_is_dropped():
    decoder = SplicedDecoder(OpenAIStreamDecoder(keep_usage=False), HEAD)
    out = decoder.feed(
        event(delta={"role": "assistant", "content": ""}) + event(delta={"role": "assistant", "content": "x"})
    )
    out += decoder.feed(b": a comment\n\n" + event(delta={}, finish_reason="stop") + b"data: [DONE]\n\n")
    first, comment, last, _ = out.split(b"\n\n")
    assert orjson.loads(first[6:]) == {**HEAD, "choices": [{"index": 0, "delta": {"content": "x"}}]}
    assert comment == b": a comment"
    assert orjson.loads(last[6:])["id"] == "a-1"
    assert (decoder.done, decoder.finish_reason, decoder.plain_text()) == (True, "stop", "x")


def test_the_head_is_that_of_the_first_event():
    assert head_of(b": hello\n\n" + event(delta={"content": "x"})) == {"id": "b-2", "created": 2, "model": "n"}
    assert head_of(b"") == {}


@pytest.mark.parametrize(
    "delta", [{"tool_calls": [{"index": 0}]}, {"reasoning_content": "hm"}, {"refusal": "no"}, {"audio": {"id": "x"}}]
)
def test_more_than_words_is_no_plain_text(delta):
    decoder = OpenAIStreamDecoder(keep_usage=False)
    decoder.feed(event(delta={"role": "assistant", "content": "x", "refusal": None}))
    assert decoder.plain_text() == "x"
    decoder.feed(event(delta=delta))
    decoder.feed(event(delta={"content": "y"}))
    assert decoder.plain_text() is None
    assert decoder.delivered_text().startswith("x")


def test_a_second_choice_is_no_plain_text():
    decoder = OpenAIStreamDecoder(keep_usage=False)
    decoder.feed(event(delta={"content": "x"}) + event(index=1, delta={"content": "y"}))
    assert decoder.plain_text() is None
