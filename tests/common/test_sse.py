"""Chapters follow https://html.spec.whatwg.org/multipage/server-sent-events.html."""

import itertools
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import BadUpstreamResponse
from common.sse import Event, EventTooLarge, SSEDecoder


def decoded(*chunks: bytes) -> list[Event]:
    return feed_all(SSEDecoder(), list(chunks))


def feed_all(decoder: SSEDecoder, chunks: list[bytes]) -> list[Event]:
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(position % (len(stream) + 1) for position in at), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


# Parsing an event stream


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_end_with_lf_cr_or_crlf(end: bytes):
    stream = end.join([b"data: a", b"data: b", b"", b"data: c", b"", b""])
    assert decoded(stream) == [Event(b"a\nb"), Event(b"c")]


def test_line_ends_may_be_mixed():
    assert decoded(b"data: a\r\ndata: b\rdata: c\n\rdata: d\r\n\ndata: e\r\r\ndata: f\n\n") == [
        Event(b"a\nb\nc"),
        Event(b"d"),
        Event(b"e"),
        Event(b"f"),
    ]


def test_one_byte_order_mark_is_passed_over():
    assert decoded(b"\xef\xbb\xbfdata: a\n\n") == [Event(b"a")]
    assert decoded(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n") == []
    assert decoded(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == [Event(b"a")]
    assert decoded(b"\xef", b"\xbb", b"\xbfdata: a\n\n") == [Event(b"a")]


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\0"])
def test_nothing_else_ends_a_line(char: str):
    data = json.dumps({"content": f"a{char}b"}, ensure_ascii=False).encode()
    assert decoded(b"data: " + data + b"\n\n") == [Event(data)]
    assert decoded(b"id: 1\r\ndata: " + data + b"\r\n\r\n") == [Event(data, last_id="1")]


# Interpreting an event stream


def test_the_examples_of_the_standard():
    assert decoded(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [Event(b"YHOO\n+2\n10")]
    assert decoded(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n") == [
        Event(b"first event", last_id="1"),
        Event(b"second event"),
    ]
    assert decoded(b"data\n\ndata\ndata\n\ndata:") == [Event(b""), Event(b"\n")]
    assert decoded(b"data:test\n\ndata: test\n\n") == [Event(b"test"), Event(b"test")]


def test_an_event_without_data_is_not_dispatched_and_leaves_no_type():
    assert decoded(b"event: ping\n\ndata: a\n\n") == [Event(b"a")]


def test_types_do_not_outlive_their_event_and_ids_do():
    assert decoded(b"event: x\nid: 7\ndata: a\n\ndata: b\n\n") == [Event(b"a", "x", "7"), Event(b"b", "message", "7")]


def test_an_id_with_nul_is_ignored():
    assert decoded(b"id: 7\n\nid: 8\0\ndata: a\n\n") == [Event(b"a", last_id="7")]


def test_retry_is_digits_only():
    decoder = SSEDecoder()
    decoder.feed(b"retry: 1500\n\nretry: 2s\n\nretry:\n\n")
    assert decoder.retry_ms == 1500


def test_unknown_fields_are_ignored_and_names_are_exact():
    assert decoded(b"Data: a\ndatax: b\n data: c\ndata : d\nfoo\ndata: e\n\n") == [Event(b"e")]


def test_only_one_space_is_taken_from_a_value():
    assert decoded(b"data:  a \n\n") == [Event(b" a ")]


def test_comments_are_no_events_but_are_passed_on():
    assert decoded(b": hello\n\n:\ndata: a\n\n") == [Event(b"a")]
    assert SSEDecoder().feed_raw(b": hello\n\ndata: a\n\n") == [(b": hello\n\n", None), (b"data: a\n\n", b"a")]


def test_what_is_unfinished_is_no_event_and_can_be_seen():
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\n\ndata: [DONE]\n") == [Event(b"a")]
    assert decoder.unfinished == b"data: [DONE]\n"


# Passing on


def test_an_event_is_complete_with_its_blank_line_and_no_later():
    for end in (b"\n", b"\r", b"\r\n"):
        assert decoded(b"data: a" + end + end) == [Event(b"a")], end


def test_a_last_crlf_is_not_torn_apart():
    decoder = SSEDecoder()
    assert decoder.feed_raw(b"data: a\r\n\r") == []
    assert decoder.feed_raw(b"\n") == [(b"data: a\r\n\r\n", b"a")]
    assert decoder.feed_raw(b"data: b\r\n\r") == []
    assert decoder.feed_raw(b"data: c\r\n\r\n") == [(b"data: b\r\n\r", b"b"), (b"data: c\r\n\r\n", b"c")]


def test_blank_lines_belong_to_the_block_after_them():
    assert SSEDecoder().feed_raw(b"data: a\n\n\n\ndata: b\n\n") == [
        (b"data: a\n\n", b"a"),
        (b"\n\ndata: b\n\n", b"b"),
    ]


FIELDS = b"data: a|data:b|data|data:  c:d|: note|:|event: x|id: 1|id|retry: 5|data: \xe2\x80\xa8|foo: bar".split(b"|")
LINES = st.sampled_from(FIELDS) | st.just(b"") | st.just(b"\xef\xbb\xbfdata: bom")
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
ONE_END = ENDS.flatmap(lambda end: st.lists(LINES.map(lambda line: line + end)))
MIXED_ENDS = st.lists(st.tuples(LINES, ENDS).map(b"".join))
STREAMS = st.builds(
    lambda bom, lines, rest: bom + b"".join(lines) + rest,
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    ONE_END | MIXED_ENDS,
    st.sampled_from([b"", b"data: unfinished"]),
)


def by_the_book(stream: bytes) -> list[Event]:
    """The standard's own algorithm, line by line, with no thought of speed."""
    events, data, type, last_id = [], b"", "", ""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for line in text.split(b"\n")[:-1]:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if line == b"":
            if data:
                events.append(Event(data[:-1], type or "message", last_id))
            data, type = b"", ""
        elif name == b"data":
            data += value + b"\n"
        elif name == b"event":
            type = value.decode()
        elif name == b"id":
            last_id = value.decode()
    return events


@given(STREAMS, st.lists(st.integers(min_value=0)))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [10, 11])
@example(b"\r\n\n\r\xef\xbb\xbfdata: a\n\n", [1, 2, 3, 4])
def test_every_split_gives_the_events_of_the_standard(stream: bytes, at: list[int]):
    stream += b"data:"  # whatever ends with CR is not waiting for an LF any more
    assert decoded(*cut(stream, at)) == by_the_book(stream)


@given(STREAMS, st.lists(st.integers(min_value=0)))
def test_every_split_passes_every_byte_on_and_sees_the_same_data(stream: bytes, at: list[int]):
    stream += b"data:"
    decoder, whole = SSEDecoder(), SSEDecoder()
    blocks = [block for chunk in cut(stream, at) for block in decoder.feed_raw(chunk)]
    assert b"".join(raw for raw, _ in blocks) + decoder.unfinished == stream
    assert [data for _, data in blocks] == [data for _, data in whole.feed_raw(stream)]


@given(STREAMS)
def test_byte_by_byte_is_as_good_as_whole(stream: bytes):
    stream += b"data:"
    assert decoded(*cut(stream, list(range(len(stream))))) == decoded(stream)


@given(st.binary(max_size=80), st.lists(st.integers(min_value=0)))
def test_no_bytes_are_lost_or_raise(stream: bytes, at: list[int]):
    decoder = SSEDecoder()
    passed_on = [raw for chunk in cut(stream, at) for raw, _ in decoder.feed_raw(chunk)]
    assert b"".join(passed_on) + decoder.unfinished == stream


# Limits


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_up_to_the_limit_passes_and_one_byte_more_does_not(end: bytes, size: int):
    event = b"data: " + b"x" * 50 + end + end
    chunks = [event[i : i + size] for i in range(0, len(event), size)]
    decoder = SSEDecoder(max_event_bytes=len(event))
    assert len(feed_all(decoder, chunks)) == 1
    decoder = SSEDecoder(max_event_bytes=len(event) - 1)
    with pytest.raises(EventTooLarge, match="more than"):
        feed_all(decoder, chunks)


def test_many_small_events_in_one_large_chunk_pass():
    assert len(SSEDecoder(max_event_bytes=20).feed(b"data: a\n\n" * 100)) == 100


@pytest.mark.parametrize("filler", [b": still here\n", b"\n", b"\r\n", b"event: x\r"])
def test_what_never_becomes_an_event_meets_the_limit_too(filler: bytes):
    decoder = SSEDecoder(max_event_bytes=1000)
    with pytest.raises(BadUpstreamResponse):
        feed_all(decoder, [filler] * 1001)
