"""The contract of `providers.adapters.base`, kept by every adapter: values and bytes in, OpenAI's form out.

Each adapter comes with its dialect: what a vendor says in it. The rest of the product knows OpenAI's form only.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.answers import Reply, Voice, answer
from providers.adapters import ADAPTERS, Adapter
from providers.adapters.base import TokenUsage
from providers.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, IMAGES, MODERATIONS, RERANK
from providers.failures import Kind, Step, UpstreamFailure
from providers.schema import Call, parse
from providers.targets import Credential, Target
from tests.providers.chunks import cut, fed
from tests.providers.dialects import DIALECTS, Dialect

SECRET = "sk-upstream-0123456789"
MODEL, UPSTREAM_MODEL = "public-name", "vendors-name"
BODIES = {
    CHAT: {"messages": [{"role": "user", "content": "hello there"}]},
    COMPLETIONS: {"prompt": "hello there"},
    EMBEDDINGS: {"input": "hello there"},
    MODERATIONS: {"input": "hello there"},
    RERANK: {"query": "hello", "documents": ["hello there"]},
    IMAGES: {"prompt": "hello there"},
}
NAMES = st.sampled_from(
    [
        "choices",
        "usage",
        "error",
        "message",
        "delta",
        "content",
        "text",
        "data",
        "results",
        "finish_reason",
        "prompt_tokens",
    ]
)
"""Of fields that an adapter looks at: what is in them may be anything."""
STREAMED = (CHAT, COMPLETIONS)
ANSWERED_IN = {EMBEDDINGS: "data", MODERATIONS: "results", RERANK: "results", IMAGES: "data"}
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=10)


def nested(inner: st.SearchStrategy) -> st.SearchStrategy:
    """Has a name: Hypothesis parses the source of a lambda to tell of it, for which the stack may be too deep."""
    return st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)


JSON = st.recursive(PLAIN, nested, max_leaves=12)
FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
EXTENSIONS = {"models": ["other"], "provider": {"sort": "price"}, "route": "fallback", "transforms": []}


@dataclass(frozen=True)
class Spoken:
    """An adapter and the vendor on its other side."""

    adapter: Adapter
    dialect: Dialect

    def reply(self, asked: Call) -> Reply:
        """The right answer to what the adapter sends."""
        sent = asked.body | {"stream_options": {"include_usage": True}} if asked.stream else asked.body
        return answer(f"/v1/{asked.endpoint}", sent, Voice("Vendor"))


@pytest.fixture(params=ADAPTERS)
def spoken(request: pytest.FixtureRequest) -> Spoken:
    return Spoken(ADAPTERS[request.param], DIALECTS[request.param])


def call(endpoint: str = CHAT, **fields: Any) -> Call:
    body = {"model": MODEL, **BODIES[endpoint], **fields}
    return parse(endpoint, body, request_id="req_1", body_bytes=len(orjson.dumps(body)))


def target() -> Target:
    return Target(
        id=1,
        name=f"vendor/{MODEL}",
        org_id=1,
        connection_id=1,
        connection_slug="vendor",
        connection_name="Vendor",
        model_id=MODEL,
        upstream_id=UPSTREAM_MODEL,
        adapter="any",
        transport="any",
        base_url="https://vendor.example/v1",
        credentials=(),
    )


def key() -> Credential:
    return Credential(1, "ckey_1", (("Authorization", f"Bearer {SECRET}"),))


def text_in(sent: bytes) -> str:
    """The words in what may be sent to a caller: OpenAI's events."""
    events = [orjson.loads(event.removeprefix(b"data: ")) for event in sent.split(b"\n\n") if event]
    choices = [choice for event in events for choice in event["choices"]]
    return "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices)


def test_every_adapter_has_a_dialect():
    assert DIALECTS.keys() == ADAPTERS.keys()


class TestRequest:
    @pytest.mark.parametrize("endpoint", BODIES)
    def test_it_names_the_vendors_model_and_carries_the_key(self, spoken, endpoint):
        request = spoken.adapter.request(call(endpoint), target(), key())
        assert request.path.startswith("/")
        assert spoken.dialect.model_asked(orjson.loads(request.body)) == UPSTREAM_MODEL
        assert MODEL.encode() not in request.body
        assert ("Authorization", f"Bearer {SECRET}") in request.headers
        assert SECRET.encode() not in request.body

    def test_without_a_key_none_is_sent(self, spoken):
        request = spoken.adapter.request(call(), target(), None)
        assert not [name for name, _ in request.headers if name.lower() in ("authorization", "api-key", "x-api-key")]

    def test_nothing_is_compressed_that_may_be_endless(self, spoken):
        headers = {name.lower(): value for name, value in spoken.adapter.request(call(), target(), None).headers}
        assert headers["accept-encoding"] == "identity"

    def test_our_own_fields_stay_here(self, spoken):
        sent = orjson.loads(spoken.adapter.request(call(**EXTENSIONS), target(), None).body)
        assert not EXTENSIONS.keys() & sent.keys()

    def test_the_call_is_not_changed(self, spoken):
        asked = call(stream=True, **EXTENSIONS)
        before = orjson.dumps(asked.body)
        spoken.adapter.request(asked, target(), key())
        assert orjson.dumps(asked.body) == before


class TestWholeAnswer:
    @pytest.mark.parametrize("endpoint", BODIES)
    def test_it_comes_out_in_openais_form_with_its_usage(self, spoken, endpoint):
        asked = call(endpoint)
        reply = spoken.reply(asked)
        completion = spoken.adapter.completion(asked, spoken.dialect.whole(reply))
        said = orjson.loads(completion.body)
        assert said.keys() >= reply.body.keys() - {"system_fingerprint", "service_tier"}
        if endpoint in STREAMED:
            assert said["choices"][0]["finish_reason"] == completion.finish_reason == finish_of(reply)
            assert reply.text in completion.body.decode()
        assert completion.usage == reported(reply)

    @pytest.mark.parametrize("endpoint", STREAMED)
    def test_without_usage_its_words_are_there_to_be_counted(self, spoken, endpoint):
        asked = call(endpoint)
        reply = spoken.reply(asked)
        completion = spoken.adapter.completion(asked, spoken.dialect.without_usage(spoken.dialect.whole(reply)))
        assert (completion.usage, completion.text) == (None, reply.text)

    @pytest.mark.parametrize("endpoint", BODIES)
    @given(data=st.data())
    @FUZZ
    def test_a_part_of_it_is_no_answer(self, spoken, endpoint, data):
        asked = call(endpoint)
        whole = spoken.dialect.whole(spoken.reply(asked))
        part = whole[: data.draw(st.integers(0, len(whole) - 1))]
        with pytest.raises(UpstreamFailure) as caught:
            spoken.adapter.completion(asked, part)
        assert caught.value.kind is Kind.MALFORMED

    @pytest.mark.parametrize("endpoint", BODIES)
    @given(body=st.binary(max_size=200) | JSON.map(orjson.dumps))
    @FUZZ
    def test_nothing_but_a_failure_is_raised(self, spoken, endpoint, body):
        with suppress(UpstreamFailure):
            said = orjson.loads(spoken.adapter.completion(call(endpoint), body).body)
            assert said[ANSWERED_IN.get(endpoint, "choices")]


class TestStream:
    @pytest.mark.parametrize("endpoint", STREAMED)
    @given(places=st.lists(st.integers(0, 10_000), max_size=30))
    @FUZZ
    def test_however_it_is_cut_the_caller_gets_the_same(self, spoken, endpoint, places):
        asked = call(endpoint, stream=True)
        reply = spoken.reply(asked)
        decoder = spoken.adapter.decoder(asked)
        sent = fed(decoder, *cut(spoken.dialect.stream(reply), places))
        assert text_in(sent) == decoder.delivered_text() == reply.text
        assert (decoder.committed, decoder.done, decoder.finish_reason) == (True, True, finish_of(reply))
        assert decoder.usage == reported(reply)
        assert b"[DONE]" not in sent

    @pytest.mark.parametrize(("wanted", "times"), [(True, 1), (False, 0)])
    def test_usage_is_shown_to_those_who_asked(self, spoken, wanted, times):
        asked = call(stream=True, stream_options={"include_usage": wanted})
        decoder = spoken.adapter.decoder(asked)
        sent = fed(decoder, spoken.dialect.stream(spoken.reply(asked)))
        assert sent.count(b'"usage":{') == times
        assert decoder.usage is not None

    def test_nothing_is_committed_before_the_first_content(self, spoken):
        asked = call(stream=True)
        stream, decoder = spoken.dialect.stream(spoken.reply(asked)), spoken.adapter.decoder(asked)
        before, mark, after = stream.partition(b"This")
        fed(decoder, before)
        assert not decoder.committed
        fed(decoder, mark + after)
        assert decoder.committed

    @pytest.mark.parametrize("endpoint", STREAMED)
    @given(data=st.data())
    @FUZZ
    def test_a_part_of_it_is_not_done_and_what_was_given_can_be_counted(self, spoken, endpoint, data):
        asked = call(endpoint, stream=True)
        reply = spoken.reply(asked)
        stream, decoder = spoken.dialect.stream(reply), spoken.adapter.decoder(asked)
        sent = fed(decoder, stream[: data.draw(st.integers(0, stream.index(b"[DONE]")))])
        assert not decoder.done
        assert reply.text.startswith(decoder.delivered_text())
        assert text_in(sent) == decoder.delivered_text()

    @given(
        begun=st.booleans(),
        chunks=st.lists(st.binary(max_size=100) | JSON.map(lambda value: b"data: " + orjson.dumps(value) + b"\n\n")),
    )
    @FUZZ
    def test_nothing_but_a_failure_is_raised(self, spoken, begun, chunks):
        asked = call(stream=True)
        decoder = spoken.adapter.decoder(asked)
        beginning = spoken.dialect.stream(spoken.reply(asked)).partition(b" simula")[0].rpartition(b"\n\n")[0]
        with suppress(UpstreamFailure):
            fed(decoder, *([beginning + b"\n\n"] if begun else []), *chunks)
            decoder.finish()
        assert isinstance(decoder.delivered_text(), str)


class TestError:
    @pytest.mark.parametrize(
        ("status", "step"),
        [
            (400, Step.GIVE_BACK),
            (401, Step.NEXT_KEY),
            (403, Step.NEXT_KEY),
            (404, Step.NEXT_TARGET),
            (408, Step.NEXT_TARGET),
            (409, Step.GIVE_BACK),
            (413, Step.GIVE_BACK),
            (422, Step.GIVE_BACK),
            (429, Step.NEXT_TARGET),
            (500, Step.NEXT_TARGET),
            (503, Step.NEXT_TARGET),
            (529, Step.NEXT_TARGET),
            (302, Step.NEXT_TARGET),
        ],
    )
    def test_each_status_leads_somewhere(self, spoken, status, step):
        failure = spoken.adapter.error(status, {}, spoken.dialect.refusal("no"))
        assert (failure.step, failure.status) == (step, status)

    def test_a_refusal_of_the_request_is_explained_in_openais_form(self, spoken):
        failure = spoken.adapter.error(400, {}, spoken.dialect.refusal("'n' is too large"))
        assert orjson.loads(failure.body)["error"]["message"] == "'n' is too large"

    @pytest.mark.parametrize("status", [401, 429, 500, 503])
    def test_other_words_of_an_upstream_go_no_further(self, spoken, status):
        failure = spoken.adapter.error(status, {}, spoken.dialect.refusal(f"worker 10.0.0.7 has {SECRET}"))
        assert failure.body is None
        assert SECRET not in f"{failure} {failure.detail}"

    @given(body=st.binary(max_size=200) | JSON.map(orjson.dumps), status=st.integers(300, 599))
    @FUZZ
    def test_whatever_it_says_it_is_a_failure(self, spoken, body, status):
        failure = spoken.adapter.error(status, {}, body)
        assert failure.body is None or isinstance(orjson.loads(failure.body)["error"]["message"], str)

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"Retry-After": "7"}, 7),
            ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
            ({"Retry-After": "1000000000"}, 300),
            ({"Retry-After": "-5"}, 0),
            ({"Retry-After": "nan"}, None),
            ({"Retry-After": "soon"}, None),
            ({"Retry-After": "Mon, 01 Jan 1990 00:00:00 GMT"}, 0),
            ({}, None),
        ],
    )
    def test_when_to_come_back_is_believed_within_bounds(self, spoken, headers, seconds):
        failure = spoken.adapter.error(429, headers, b"")
        assert failure.retry_after_s == seconds


def finish_of(reply: Reply) -> str:
    return str(reply.body["choices"][0]["finish_reason"])


def reported(reply: Reply) -> TokenUsage | None:
    usage = reply.usage
    if usage is None:
        return None
    read = usage.get("prompt_tokens", usage.get("input_tokens", usage["total_tokens"]))
    return TokenUsage(read, usage.get("completion_tokens", usage.get("output_tokens", 0)), 0, "reported")
