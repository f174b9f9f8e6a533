"""Each fault of the menu, seen on the wire."""

import gzip

import httpx
import orjson
import pytest

from demo.faults import MENU, Kind
from demo.faults.huge import BIG_EVENT_BYTES
from tests.fakes.upstream import KEY, FaultUpstream
from tests.fakes.wirelog import End
from tests.fakes.wiretap import events, tap

ANSWER = "This is a simulated answer from Fault. No model was asked. You said: hello there"
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class TestEveryFault:
    @BOTH
    @pytest.mark.parametrize("slug", [slug for slug, kind in MENU.items() if kind is Kind.EARLY])
    def test_an_early_one_gives_no_usable_content(self, upstream: FaultUpstream, slug: str, stream: bool) -> None:
        seen = tap(upstream, slug, stream=stream)
        assert upstream.log.last.fault == slug
        if slug == "invalid-utf8":  # the words are there, in a text that is none
            with pytest.raises(UnicodeDecodeError):
                seen.raw.decode()
        else:
            assert b"You said" not in seen.raw
            assert upstream.log.last.sent_tokens == 0

    @pytest.mark.parametrize("slug", [slug for slug, kind in MENU.items() if kind is Kind.MIDWAY])
    def test_one_midway_breaks_after_some_content(self, upstream: FaultUpstream, slug: str) -> None:
        seen = tap(upstream, slug, stream=True)
        exchange = upstream.log.last
        assert exchange.fault == slug
        assert 0 < exchange.sent_tokens < 18
        assert b'"content":"This"' in seen.raw
        assert b"[DONE]" not in seen.raw
        assert b'"finish_reason":"stop"' not in seen.raw
        assert exchange.usage is None

    @pytest.mark.parametrize("slug", [slug for slug, kind in MENU.items() if kind is Kind.MIDWAY])
    def test_one_midway_leaves_no_usable_whole_answer(self, upstream: FaultUpstream, slug: str) -> None:
        seen = tap(upstream, slug, stream=False)
        promised = int(seen.headers["content-length"])
        if slug == "error-event-midway":
            assert "error" in seen.json
        else:
            assert len(seen.rest) != promised
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(seen.rest[:promised])
        assert upstream.log.last.sent_tokens == 0

    @BOTH
    @pytest.mark.parametrize("slug", [slug for slug, kind in MENU.items() if kind in (Kind.FINE, Kind.USAGE)])
    def test_a_harmless_one_gives_the_right_answer(self, upstream: FaultUpstream, slug: str, stream: bool) -> None:
        seen = tap(upstream, slug, stream=stream)
        assert seen.status == 200
        said = seen.rest if slug == "unsolicited" else seen.body
        assert b"simula" in said
        assert upstream.log.last.end is End.COMPLETED
        assert upstream.log.last.sent_tokens == 19

    @BOTH
    @pytest.mark.parametrize("slug", ["endless-comments", "endless-tokens"])
    def test_an_endless_one_goes_on_until_the_client_leaves(
        self, upstream: FaultUpstream, slug: str, stream: bool
    ) -> None:
        seen = tap(upstream, slug, stream=stream, most_bytes=20_000)
        exchange = upstream.log.last
        assert len(seen.raw) >= 20_000
        assert exchange.end is End.CLIENT_LEFT
        assert exchange.client_left_at is not None
        assert (exchange.sent_tokens > 18) == (slug == "endless-tokens" and stream)


class TestEarly:
    @pytest.mark.parametrize("slug", [slug for slug in MENU if slug.isdigit()])
    def test_a_status(self, upstream: FaultUpstream, slug: str) -> None:
        seen = tap(upstream, slug, stream=True)
        assert seen.status == int(slug)
        assert set(seen.json["error"]) == {"message", "type", "param", "code"}
        assert (KEY in seen.json["error"]["message"]) == (500 <= seen.status < 505)
        assert seen.headers.get("retry-after") == ("1" if slug == "429" else None)

    @pytest.mark.parametrize(
        ("slug", "status", "header"),
        [
            ("503-retry-after", 503, ("retry-after", "1")),
            ("429-retry-after-huge", 429, ("retry-after", "1000000000")),
            ("redirect-metadata", 307, ("location", "http://169.254.169.254/latest/meta-data/")),
            ("200-html", 200, ("content-type", "text/html; charset=utf-8")),
            ("200-error-json", 200, ("content-type", "application/json")),
            ("200-error", 200, ("content-type", "text/event-stream; charset=utf-8")),
        ],
    )
    def test_a_header(self, upstream: FaultUpstream, slug: str, status: int, header: tuple[str, str]) -> None:
        seen = tap(upstream, slug, stream=True)
        assert (seen.status, seen.headers[header[0]]) == (status, header[1])

    @pytest.mark.parametrize(
        ("slug", "end", "has_head"),
        [("hang", "open", False), ("hang-after-headers", "open", True), ("reset", "reset", False)],
    )
    def test_silence(self, upstream: FaultUpstream, slug: str, end: str, has_head: bool) -> None:
        seen = tap(upstream, slug, stream=True)
        assert (seen.end, b"200 OK" in seen.raw, seen.rest) == (end, has_head, b"")
        assert upstream.log.last.status == (200 if has_head else None)

    def test_answers_without_content(self, upstream: FaultUpstream) -> None:
        assert tap(upstream, "empty", stream=False).raw.endswith(b"content-length: 0\r\n\r\n")
        assert tap(upstream, "empty", stream=True).rest == b"0\r\n\r\n"
        assert events(tap(upstream, "empty-done", stream=True).body) == [b"[DONE]"]
        assert tap(upstream, "empty-done", stream=False).json["choices"] == []

    def test_truncated_json(self, upstream: FaultUpstream) -> None:
        seen = tap(upstream, "truncated-json", stream=False)
        assert len(seen.rest) == int(seen.headers["content-length"])
        (event,) = events(tap(upstream, "truncated-json", stream=True).body)
        for cut in (seen.rest, event):
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(cut)

    @BOTH
    def test_invalid_utf8(self, upstream: FaultUpstream, stream: bool) -> None:
        with pytest.raises(UnicodeDecodeError):
            tap(upstream, "invalid-utf8", stream=stream).body.decode()

    def test_wrong_types(self, upstream: FaultUpstream) -> None:
        assert tap(upstream, "wrong-types", stream=False).json["usage"] == "lots"
        seen = tap(upstream, "wrong-types", stream=True)
        assert [type(orjson.loads(event)) for event in events(seen.body)[:3]] == [type(None), list, str]


class TestMidway:
    def test_reset(self, upstream: FaultUpstream) -> None:
        assert tap(upstream, "reset-midstream", stream=True).end == "reset"
        assert upstream.log.last.end is End.RESET

    def test_cut_ends_well_in_http(self, upstream: FaultUpstream) -> None:
        seen = tap(upstream, "cut-midstream", stream=True)
        assert seen.rest.endswith(b"0\r\n\r\n")
        assert seen.end == "eof"

    def test_stall_keeps_the_connection(self, upstream: FaultUpstream) -> None:
        assert tap(upstream, "stall", stream=True).end == "open"
        assert upstream.log.last.end is End.CLIENT_LEFT

    def test_error_event_is_the_last_one(self, upstream: FaultUpstream) -> None:
        seen = tap(upstream, "error-event-midway", stream=True)
        assert "message" in orjson.loads(events(seen.body)[-1])["error"]

    def test_chunk_sizes_that_lie(self, upstream: FaultUpstream) -> None:
        for slug, stream in (("wrong-length", True), ("wrong-length-short", True), ("wrong-length", False)):
            with pytest.raises(httpx.RemoteProtocolError), httpx.Client() as http:
                self._ask(http, upstream, slug, stream)

    def _ask(self, http: httpx.Client, upstream: FaultUpstream, slug: str, stream: bool) -> None:
        asked = {"model": slug, "stream": stream, "messages": [{"role": "user", "content": "hello there"}]}
        http.post(f"{upstream.base_url}/chat/completions", json=asked, headers={"authorization": f"Bearer {KEY}"})


class TestHugeAnswers:
    def test_one_event_of_ten_mib(self, upstream: FaultUpstream) -> None:
        body = tap(upstream, "event-10mib", stream=True).body
        assert max(len(event) for event in events(body)) > BIG_EVENT_BYTES
        assert len(tap(upstream, "event-10mib", stream=False).rest) > BIG_EVENT_BYTES

    def test_gzip_bomb(self, upstream: FaultUpstream) -> None:
        for stream in (False, True):
            seen = tap(upstream, "gzip-bomb", stream=stream)
            assert seen.headers["content-encoding"] == "gzip"
            inflated = gzip.decompress(seen.body)
            assert len(inflated) > 8 << 20 > 100 * len(seen.body)
            if not stream:
                assert orjson.loads(inflated)["choices"][0]["message"]["content"] == ANSWER


class TestFalseUsage:
    @pytest.mark.parametrize(
        ("slug", "said"),
        [
            ("bad-usage-negative", b'"completion_tokens":-7'),
            ("bad-usage-nan", b'"completion_tokens":NaN'),
            ("bad-usage-1e18", b'"completion_tokens":1e18'),
            ("bad-usage-zero", b'"completion_tokens":0'),
            ("bad-usage-words", b'"completion_tokens":"twelve"'),
            ("bad-usage-cached", b'"cached_tokens":5000'),
        ],
    )
    @BOTH
    def test_wrong_figures_are_told_and_logged(
        self, upstream: FaultUpstream, slug: str, said: bytes, stream: bool
    ) -> None:
        assert said in tap(upstream, slug, stream=stream).body
        assert said.decode() in upstream.log.last.usage

    @BOTH
    def test_no_usage(self, upstream: FaultUpstream, stream: bool) -> None:
        assert b"prompt_tokens" not in tap(upstream, "bad-usage-missing", stream=stream).body
        assert upstream.log.last.usage is None
