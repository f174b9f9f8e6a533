"""`POST /v1/rerank`, asked by the official SDK through the real gateway."""

from __future__ import annotations

import orjson
import pytest

from providers.adapters import ADAPTERS
from providers.endpoints import RERANK
from providers.failures import UpstreamFailure
from providers.schema import parse
from routing.cache_services import put_policy
from routing.counting import counted_usage
from routing.filters import reject_context
from routing.upper_bounds import size_of
from tests.providers.test_adapter_contract import target
from tests.routing.hearing import let_all_hear

MODEL = "sim-chat"
URL = "/v1/rerank"
DOCUMENTS = ["a kind of bread", {"text": "the door of a house", "id": 7}, "a door"]
WISH = {"model": MODEL, "query": "the door", "documents": DOCUMENTS}


@pytest.fixture
def served(tenant, upstreams):
    tenant.connect(upstreams.a.base_url, [{"id": MODEL, "kind": "rerank"}])
    return tenant


def call(**fields):
    body = {**WISH, **fields}
    return parse(RERANK, body, request_id="req_1", body_bytes=len(orjson.dumps(body)))


def test_the_sdk_sends_it_and_every_field_arrives(client, served, upstreams):
    wish = WISH | {"top_n": 2, "return_documents": True, "truncation": False}
    told = client.post("/rerank", body=wish, cast_to=dict)
    assert [(one["index"], one["document"]["text"]) for one in told["results"]] == [
        (1, "the door of a house"),
        (2, "a door"),
    ]
    assert upstreams.a.log.last.body == wish


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": ["a"]}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": "a door"}, "documents"),
        ({"documents": ["a", ""]}, "documents[1]"),
        ({"documents": ["a", {"title": "b"}]}, "documents[1]"),
        ({"documents": ["a", ["b"]]}, "documents[1]"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "2"}, "top_n"),
        ({"top_n": True}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
    ],
)
def test_what_cannot_be_ranked_is_refused(http, served, upstreams, fields, param):
    reply = http.post(URL, json=WISH | fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not upstreams.a.log.posts


@pytest.mark.parametrize(
    "results",
    [
        b'[{"index":3,"relevance_score":0.5}]',
        b'[{"index":-1,"relevance_score":0.5}]',
        b'[{"index":0,"relevance_score":0.5},{"index":0,"relevance_score":0.4}]',
        b'[{"index":0,"relevance_score":1e999}]',
        b'[{"index":0,"relevance_score":NaN}]',
        b'[{"index":0,"relevance_score":"0.5"}]',
        b'[{"index":0}]',
        b'[{"index":1.5,"relevance_score":0.5}]',
        b'{"index":0,"relevance_score":0.5}',
        b"[]",
    ],
)
def test_an_answer_that_leads_astray_is_no_answer(results):
    with pytest.raises(UpstreamFailure):
        ADAPTERS["openai"].completion(call(), b'{"results":%b}' % results)


def test_a_sum_of_tokens_alone_is_input():
    body = b'{"results":[{"index":0,"relevance_score":0.5}],"usage":{"total_tokens":31}}'
    usage = ADAPTERS["openai"].completion(call(), body).usage
    assert (usage.input_tokens, usage.output_tokens, usage.source) == (31, 0, "reported")


def test_the_query_counts_with_each_document():
    one, many = (call(documents=["bread"] * count) for count in (1, 100))
    more = counted_usage(many, "").input_tokens - counted_usage(one, "").input_tokens
    assert more >= 99 * 2
    assert many.prompt_bytes - one.prompt_bytes == 99 * (len("the door") + len('"bread",'))
    assert counted_usage(many, "").input_tokens <= size_of(many, 0).prompt_tokens


def test_each_document_has_the_context_for_itself():
    long, small = call(documents=["door " * 200] * 50), target()
    small = type(small)(**{name: getattr(small, name) for name in small.__struct_fields__} | {"context_tokens": 512})
    assert reject_context(long, small) is None
    assert size_of(long, 0).of(small) == 512 * 50
    assert reject_context(call(documents=["door " * 2000]), small) == "context_too_short"


def test_a_ranking_may_be_kept(http, served, gateway, upstreams):
    put_policy(served.org, served.actor, scope="organization", ttl_s=60)
    let_all_hear(gateway, served)
    miss, hit = (http.post(URL, json=WISH) for _ in range(2))
    assert (miss.headers["x-shareai-cache"], hit.headers["x-shareai-cache"]) == ("MISS", "HIT")
    assert miss.content == hit.content
    assert len(upstreams.a.log.posts) == 1
