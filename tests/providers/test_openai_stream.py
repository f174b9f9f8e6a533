"""The stream decoder: what passes, what is held back, what is understood, however the bytes are cut."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters.openai_stream import MAX_EVENT_BYTES, MOST_KEPT_BYTES, OpenAIStreamDecoder
from providers.failures import Kind, UpstreamFailure
from tests.providers.chunks import cut, fed


def event(value: object) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def delta(text: str | None = None, *, finish: str | None = None, usage: object = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": ({"content": text} if text is not None else {}) | more, "finish_reason": finish}
    return event({"id": "c1", "choices": [choice], "usage": usage})


ROLE = event({"id": "c1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
USAGE = event({"id": "c1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}})
DONE = b"data: [DONE]\n\n"
WORDS = [delta("one "), delta("[DONE] "), delta('"error" '), delta("two\u2028three")]
WHOLE = b"".join([ROLE, *WORDS, delta(finish="stop"), USAGE, DONE])


@given(st.lists(st.integers(0, 10_000), max_size=40))
def test_every_cut_gives_the_same_stream(places):
    decoder = OpenAIStreamDecoder(keep_usage=False)
    assert fed(decoder, *cut(WHOLE, places)) == b"".join([ROLE, *WORDS, delta(finish="stop")])
    assert decoder.done
    assert decoder.finish_reason == "stop"
    assert decoder.usage is not None
    assert (decoder.usage.input_tokens, decoder.usage.output_tokens) == (7, 3)


@given(st.lists(st.integers(0, 10_000), max_size=40), st.sampled_from([b"\r\n", b"\r"]))
def test_other_line_endings_mean_the_same(places, ending):
    decoder = OpenAIStreamDecoder(keep_usage=False)
    out = fed(decoder, *cut(WHOLE.replace(b"\n", ending), places))
    assert decoder.done
    assert decoder.finish_reason == "stop"
    assert decoder.delivered_text() == 'one [DONE] "error" two\u2028three'
    assert out.count(b"data: ") == 6


def test_usage_stays_when_the_caller_asked_for_it():
    decoder = OpenAIStreamDecoder(keep_usage=True)
    assert USAGE in fed(decoder, WHOLE)


def test_usage_beside_content_is_blanked_but_the_content_stays():
    decoder = OpenAIStreamDecoder(keep_usage=False)
    out = fed(decoder, delta("a"), delta("b", finish="stop", usage={"prompt_tokens": 1, "completion_tokens": 2}))
    assert b'"content":"b"' in out
    assert b"prompt_tokens" not in out
    assert decoder.usage is not None


def test_a_role_alone_is_no_content():
    decoder = OpenAIStreamDecoder(keep_usage=False)
    decoder.feed(ROLE)
    assert not decoder.committed
    decoder.feed(delta("x"))
    assert decoder.committed


@pytest.mark.parametrize(
    "content",
    [
        delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]),
        delta(reasoning_content="hm"),
        delta(refusal="no"),
        delta(finish="content_filter"),
        event({"choices": [{"index": 0, "text": "completion"}]}),
    ],
)
def test_what_else_commits(content):
    decoder = OpenAIStreamDecoder(keep_usage=False)
    decoder.feed(content)
    assert decoder.committed


def test_comments_before_the_first_content_are_not_sent():
    decoder = OpenAIStreamDecoder(keep_usage=False)
    assert decoder.feed(b": keep-alive\n\n") == b""
    decoder.feed(delta("x"))
    assert decoder.feed(b": keep-alive\n\n") == b": keep-alive\n\n"


@pytest.mark.parametrize("before", [b"", delta("already")])
@pytest.mark.parametrize(
    "wrong",
    [
        event({"error": {"message": "overloaded"}}),
        event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}),
    ],
)
def test_an_error_event_is_a_failure_before_and_after_the_first_content(before, wrong):
    decoder = OpenAIStreamDecoder(keep_usage=False)
    decoder.feed(before)
    with pytest.raises(UpstreamFailure) as caught:
        decoder.feed(wrong)
    assert caught.value.kind is Kind.ERROR_IN_BODY


@pytest.mark.parametrize("wrong", [b"data: {broken\n\n", b"data: 17\n\n", event({"choices": "none"})])
def test_what_cannot_be_understood_before_the_commit_is_malformed(wrong):
    with pytest.raises(UpstreamFailure) as caught:
        OpenAIStreamDecoder(keep_usage=False).feed(wrong)
    assert caught.value.kind is Kind.MALFORMED


@pytest.mark.parametrize("ending", [b"", b"\r"])
def test_an_event_without_end_is_refused(ending):
    decoder = OpenAIStreamDecoder(keep_usage=False)
    with pytest.raises(UpstreamFailure) as caught:
        fed(decoder, b": x\n" + ending, *[b"data: " + b"a" * 65536] * (MAX_EVENT_BYTES // 65536 + 2))
    assert caught.value.kind is Kind.TOO_LARGE


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 10**18},
        {"prompt_tokens": "7", "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        "many",
        [1],
    ],
)
def test_usage_that_cannot_be_true_is_not_believed(usage):
    decoder = OpenAIStreamDecoder(keep_usage=False)
    fed(decoder, delta("x"), event({"choices": [], "usage": usage}))
    assert decoder.usage is None


@pytest.mark.parametrize("end", [b"data: [DONE]", b"data: [DONE]\n"])
def test_a_terminator_without_its_blank_line_counts_at_the_end(end):
    decoder = OpenAIStreamDecoder(keep_usage=False)
    fed(decoder, delta("x"), end)
    assert not decoder.done
    decoder.finish()
    assert decoder.done


def test_a_long_stream_is_kept_as_text_alone():
    decoder = OpenAIStreamDecoder(keep_usage=False)
    words = [f"word{number} " for number in range(4000)]
    for word in words:
        decoder.feed(delta(word))
    assert sum(len(given) for given in decoder._given) <= MOST_KEPT_BYTES
    assert decoder.delivered_text() == "".join(words)
    assert decoder.delivered_text() == "".join(words)


def test_half_an_event_at_the_end_is_dropped():
    decoder = OpenAIStreamDecoder(keep_usage=False)
    fed(decoder, delta("x"), b'data: {"choices":[{"del')
    assert decoder.finish() == b""
    assert not decoder.done
