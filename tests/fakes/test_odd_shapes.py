"""Right answers in an odd shape, seen on the wire and by the official SDK."""

import pytest
from openai import OpenAI

from demo.answers import Voice, answer
from demo.faults import Pause, Scene, Send, steps
from demo.faults.odd import LINE_SIGNS
from tests.fakes.upstream import KEY, FaultUpstream
from tests.fakes.wirelog import End
from tests.fakes.wiretap import Seen, connect, read_all, request_bytes, tap, text_of

ANSWER = "This is a simulated answer from Fault. No model was asked. You said: hello there"


def scene(*, stream: bool) -> Scene:
    asked = {"model": "any", "messages": [{"role": "user", "content": "hello there"}]}
    return Scene(answer("/v1/chat/completions", asked, Voice("Fault")), stream, delay_s=1)


class TestOddShapes:
    @pytest.mark.parametrize("stream", [False, True])
    def test_slow_headers_come_in_pieces(self, stream: bool) -> None:
        script = list(steps("slow-headers", scene(stream=stream))[1])
        pieces = [step.data for step in script if isinstance(step, Send)]
        assert [step for step in script if isinstance(step, Pause)] == [Pause(0.1)] * 10
        assert all(b"\r\n\r\n" not in piece for piece in pieces[:9])
        assert b"".join(pieces[:10]).endswith(b"\r\n\r\n")

    @pytest.mark.parametrize("stream", [False, True])
    def test_late_first_byte_comes_after_the_headers(self, stream: bool) -> None:
        head, pause, *_ = steps("late-first-byte", scene(stream=stream))[1]
        assert isinstance(head, Send)
        assert head.data.endswith(b"\r\n\r\n")
        assert pause == Pause(1)

    def test_no_done(self, upstream: FaultUpstream) -> None:
        seen = tap(upstream, "no-done", stream=True)
        assert text_of(seen.body) == ANSWER
        assert b'"finish_reason":"stop"' in seen.body
        assert b"[DONE]" not in seen.body

    def test_every_line_end_and_each_byte_alone(self, upstream: FaultUpstream) -> None:
        seen = tap(upstream, "crlf-mix", stream=True)
        assert {len(chunk) for chunk in seen.chunks} == {1}
        for end in (b"}\r\r", b"}\n\ndata", b"}\r\n\r\n", b"}\r\n\n", b"}\n\r\n", b"}\n\r"):
            assert end in seen.body

    def test_line_signs_are_sent_raw(self, upstream: FaultUpstream) -> None:
        assert text_of(tap(upstream, "u2028", stream=True).body) == LINE_SIGNS + ANSWER
        assert LINE_SIGNS.encode() in tap(upstream, "u2028", stream=False).body

    def test_unsolicited_bytes_follow_the_answer(self, upstream: FaultUpstream) -> None:
        for stream in (False, True):
            assert tap(upstream, "unsolicited", stream=stream).raw.count(b"HTTP/1.1 200 OK") == 2

    @pytest.mark.parametrize("slug", ["crlf-mix", "sse-odd", "u2028", "no-done", "late-first-byte"])
    def test_the_official_sdk_reads_them(self, upstream: FaultUpstream, slug: str) -> None:
        with OpenAI(base_url=upstream.base_url, api_key=KEY, max_retries=0) as sdk:
            stream = sdk.chat.completions.create(
                model=slug, messages=[{"role": "user", "content": "hello there"}], stream=True
            )
            said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert said.removeprefix(LINE_SIGNS) == ANSWER

    def test_reset_between_requests(self, upstream: FaultUpstream) -> None:
        with connect(upstream.base_url) as line:
            line.sendall(request_bytes("reset-between-requests", stream=False, keep=True))
            assert read_all(line, upstream.log).status == 200
            line.sendall(request_bytes("ok", stream=False))
            assert read_all(line, upstream.log) == Seen(b"", "reset")
        first, second = upstream.log
        assert (first.end, second.end, second.status) == (End.COMPLETED, End.RESET, None)
        assert first.connection == second.connection
