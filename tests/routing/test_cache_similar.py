"""Answers given again to what means the same: through a real gateway, with embeddings over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from metering.models import Usage
from providers.services import disable_connection
from routing.cache_services import purge, put_policy
from routing.services import put_route
from tests.fakes.embeddings import EmbeddingServer
from tests.ownredis import eventually
from tests.routing.hearing import let_all_hear
from tests.stack import GatewayProcess, Tenant, allow_of, make_tenant

CAPITAL = "What is the capital of France?"
REPHRASED = "Please tell: what is the capital of France?"
SPAIN = "What is the capital of Spain?"


@pytest.fixture(scope="module")
def embeddings() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(django_db_setup, django_db_blocker, upstream_servers, embeddings, tmp_path_factory):
    with django_db_blocker.unblock():
        allow = f"{allow_of(upstream_servers)}, 127.0.0.1:{embeddings.port}"
        process = GatewayProcess(tmp_path_factory.mktemp("similar"), egress_allow=allow)
        process.start()
        yield process
        process.stop()


def opened(tenant: Tenant, upstreams, embeddings: EmbeddingServer, settings) -> Tenant:
    settings.EGRESS_ALLOW = f"{allow_of(upstreams)}, 127.0.0.1:{embeddings.port}"
    tenant.connect(upstreams.a.base_url, ["sim-chat"])
    priced = {"id": "embed", "kind": "embedding", "input_price": "2", "output_price": "0"}
    tenant.connect(embeddings.base_url, [priced])
    put_route(tenant.org, tenant.actor, "faq", {"targets": [{"target": "sim-chat"}]})
    semantic = {"model": "embed", "threshold": 0.8}
    put_policy(tenant.org, tenant.actor, scope="route", subject="faq", ttl_s=600, semantic=semantic)
    embeddings.status, embeddings.body = 200, None
    embeddings.asked.clear()
    return tenant


@pytest.fixture
def acme(tenant: Tenant, upstreams, embeddings, settings) -> Tenant:
    return opened(tenant, upstreams, embeddings, settings)


def body_of(text: str, system: str = "Be brief.", **fields) -> dict:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return {"model": "faq", "messages": messages} | fields


def ask(http: httpx.Client, text: str, headers: dict | None = None, **fields) -> httpx.Response:
    response = http.post("/v1/chat/completions", json=body_of(text, **fields), headers=headers)
    assert response.status_code == 200, response.text
    return response


def kind(response: httpx.Response) -> str:
    return response.headers["x-shareai-cache"]


def test_what_means_the_same_is_answered_alike_and_says_so(http, acme, upstreams):
    first = ask(http, CAPITAL)
    upstreams.a.log.clear()
    second = ask(http, REPHRASED)
    assert (kind(first), kind(second)) == ("MISS", "semantic")
    assert 0.8 <= float(second.headers["x-shareai-cache-similarity"]) < 1
    assert second.json()["choices"] == first.json()["choices"]
    assert float(second.headers["x-shareai-cost"]) == 0
    assert kind(ask(http, SPAIN)) == "MISS"
    assert kind(ask(http, CAPITAL)) == "HIT", "the very same needs no comparison"
    assert ask(http, REPHRASED, stream=True).text.endswith("data: [DONE]\n\n")


def test_the_embedding_is_a_request_with_its_cost(http, acme, embeddings):
    ask(http, CAPITAL)
    assert embeddings.asked == [CAPITAL]
    ask(http, CAPITAL)
    assert len(embeddings.asked) == 1
    rows = Usage.objects.of(acme.org).filter(endpoint="embeddings")
    eventually(lambda: rows.count() == 1, 10)
    assert (rows.get().cost_nanos, rows.get().user_agent) == (14_000, "shareai semantic cache")


@pytest.mark.parametrize("other", [{"system": "Be rude."}, {"temperature": 1.5}, {"max_tokens": 7}])
def test_all_but_the_question_has_to_be_equal(http, acme, other):
    ask(http, CAPITAL)
    assert kind(ask(http, REPHRASED, **other)) == "MISS"


def test_results_of_tools_are_never_compared(http, acme, embeddings):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": CAPITAL},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "Paris"},
        {"role": "user", "content": CAPITAL},
    ]
    response = http.post("/v1/chat/completions", json={"model": "faq", "messages": messages})
    assert "x-shareai-cache" not in response.headers
    assert embeddings.asked == []


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, None), (200, {"data": []}), (200, {"data": [{"embedding": "x"}]}), (200, {"data": [{"embedding": [0]}]})],
)
def test_embeddings_that_fail_are_a_miss_and_no_error(http, acme, embeddings, status, body):
    embeddings.status, embeddings.body = status, body
    assert [kind(ask(http, text)) for text in (CAPITAL, REPHRASED, CAPITAL)] == ["MISS", "MISS", "HIT"]


def test_a_model_that_is_not_served_any_more_is_a_miss(gateway, http, acme):
    disable_connection(acme.connections[-1], acme.actor)
    let_all_hear(gateway, acme)
    assert [kind(ask(http, text)) for text in (CAPITAL, REPHRASED, CAPITAL)] == ["MISS", "MISS", "HIT"]


def test_a_caller_who_wants_a_fresh_answer_gets_one(http, acme):
    ask(http, CAPITAL)
    assert kind(ask(http, REPHRASED, {"Cache-Control": "no-cache"})) == "MISS"


def test_a_purge_takes_them_too(http, acme):
    ask(http, CAPITAL)
    assert kind(ask(http, REPHRASED)) == "semantic"
    purge(acme.org, acme.actor, "faq")
    eventually(lambda: kind(ask(http, "tell what the capital of France is, please please")) == "MISS", 5)


def test_another_organisation_gets_its_own(http, acme, gateway, upstreams, embeddings, settings):
    ask(http, CAPITAL)
    other = opened(make_tenant("Other"), upstreams, embeddings, settings)
    headers = {"Authorization": f"Bearer {other.api_key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as theirs:
        assert kind(ask(theirs, REPHRASED)) == "MISS"


def test_many_at_once_are_one_comparison(acme, gateway, embeddings):
    async def all_at_once() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {acme.api_key}"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as client:
            asked = (client.post("/v1/chat/completions", json=body_of(CAPITAL)) for _ in range(20))
            return await asyncio.gather(*asked)

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} == {200}
    assert len(embeddings.asked) == 1
