"""What is kept of a request: bounded texts, and streams put together."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from metering.transcripts import MOST_SIDE_BYTES, assembled, bounded, transcript_of, unpacked


def events(*values: dict | str) -> bytes:
    return b"".join(
        b"data: " + (each.encode() if isinstance(each, str) else orjson.dumps(each)) + b"\n\n" for each in values
    )


def delta(index: int = 0, finish: str | None = None, **said) -> dict:
    return {"id": "c1", "model": "m", "choices": [{"index": index, "delta": said, "finish_reason": finish}]}


def test_a_stream_adds_up_to_one_answer():
    call = {"index": 0, "id": "call_1", "function": {"name": "add", "arguments": '{"a"'}}
    rest = {"index": 0, "function": {"arguments": ": 1}"}}
    said = events(
        delta(role="assistant", content=""),
        delta(content="สวัส"),
        delta(content="ดี\u2028"),
        delta(1, content="other"),
        delta(tool_calls=[call]),
        delta(tool_calls=[rest], finish="tool_calls"),
        {"id": "c1", "choices": [], "usage": {"total_tokens": 7}},
        "[DONE]",
    )
    answer = orjson.loads(assembled(said))
    first, second = answer["choices"]
    assert first["message"]["content"] == "สวัสดี\u2028"
    assert first["message"]["tool_calls"] == [
        {"index": 0, "type": "function", "id": "call_1", "function": {"name": "add", "arguments": '{"a": 1}'}}
    ]
    assert (first["finish_reason"], second["message"]["content"]) == ("tool_calls", "other")
    assert (answer["id"], answer["usage"]) == ("c1", {"total_tokens": 7})


def test_a_stream_that_broke_off_keeps_its_error():
    said = events(delta(content="half"), {"id": "c1", "error": {"code": "upstream_interrupted"}, "choices": []})
    answer = orjson.loads(assembled(said + b'data: {"choices": [{"ind'))
    assert answer["error"] == {"code": "upstream_interrupted"}
    assert answer["choices"][0]["message"]["content"] == "half"


@given(st.binary(max_size=400))
def test_no_bytes_are_too_odd(said: bytes):
    assert "choices" in orjson.loads(assembled(said))


def test_what_is_too_long_loses_its_middle_and_says_so():
    body = {"prompt": "ก" * MOST_SIDE_BYTES}
    kept = transcript_of(body, b"{}", status=200, streamed=False, is_whole=True)
    assert kept.is_cut
    assert len(kept.prompt.encode()) < MOST_SIDE_BYTES + 100
    assert kept.prompt.startswith('{"prompt":"ก')
    assert kept.prompt.endswith('ก"}')
    assert unpacked(kept.packed()) == kept


def test_what_fits_stays_as_it_is():
    assert bounded(b"x" * 10, 10) == ("x" * 10, False)
    assert bounded(b"x" * 11, 10)[1]
