"""`Idempotency-Key` on `/v1`: asked once, billed once, answered alike, by whichever process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from asgiref.sync import sync_to_async
from openai import OpenAI

from metering.models import Usage
from tests.ownredis import BACK_WITHIN_S, OwnRedis, eventually
from tests.routing.crowd import LEFT, crowd
from tests.stack import GatewayProcess, Tenant, allow_of

MODEL, EMBED = "sim-chat", "sim-embed"


@pytest.fixture(scope="module")
def own_redis() -> Iterator[OwnRedis]:
    with OwnRedis() as own:
        yield own


@pytest.fixture(scope="module")
def gateways(django_db_setup, django_db_blocker, upstream_servers, own_redis, tmp_path_factory):
    """Two of one process each, sharing nothing but PostgreSQL and Redis."""
    with django_db_blocker.unblock():
        allow = allow_of(upstream_servers)
        folders = [tmp_path_factory.mktemp("errands") for _ in range(2)]
        processes = [GatewayProcess(folder, egress_allow=allow, REDIS_URL=own_redis.url) for folder in folders]
        for process in processes:
            process.start()
        yield processes
        for process in processes:
            process.stop()


@pytest.fixture
def gateway(gateways) -> GatewayProcess:
    return gateways[0]


@pytest.fixture
def served(tenant: Tenant, upstreams) -> Iterator[Tenant]:
    prices = {"input_price": "1", "output_price": "2"}
    tenant.connect(upstreams.a.base_url, [{"id": MODEL, **prices}, {"id": EMBED, "kind": "embedding", **prices}])
    yield tenant
    upstreams.a.manners.first_token_s = upstreams.a.manners.token_interval_s = 0


@pytest.fixture
def https(gateways, served) -> Iterator[list[httpx.Client]]:
    headers = {"Authorization": f"Bearer {served.api_key}"}
    clients = [httpx.Client(base_url=process.url, headers=headers, timeout=30) for process in gateways]
    yield clients
    for client in clients:
        client.close()


def ask(http: httpx.Client, key: str | None, *, endpoint: str = "chat/completions", **fields) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "the sea"}]} | fields
    headers = {} if key is None else {"Idempotency-Key": key}
    return http.post(f"/v1/{endpoint}", json=body, headers=headers)


def new_key() -> str:
    return f"order-{uuid4().hex}"


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json()["error"]["code"], answer.headers.get("x-should-retry")


def rows_of(tenant: Tenant, count: int) -> list[Usage]:
    eventually(lambda: Usage.objects.filter(org_id=tenant.org.pk).count() >= count, 10)
    return list(Usage.objects.filter(org_id=tenant.org.pk))


REQUESTS = {
    "whole": {},
    "stream": {"stream": True, "stream_options": {"include_usage": True}},
    "completions": {"endpoint": "completions", "prompt": "the sea", "messages": None},
    "embeddings": {"endpoint": "embeddings", "model": EMBED, "input": "the sea", "messages": None},
}


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_sent_again_it_is_answered_alike_and_billed_once(https, served, upstreams, fields):
    key = new_key()
    first, again, elsewhere = (ask(http, key, **fields) for http in (https[0], https[0], https[1]))
    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    for replay in (again, elsewhere):
        assert (replay.status_code, replay.content) == (200, first.content)
        assert replay.headers["idempotent-replayed"] == "true"
        for name in ("content-type", "x-request-id", "x-shareai-target", "x-shareai-attempts"):
            assert replay.headers[name] == first.headers[name]
    assert len(upstreams.a.log.posts) == 1
    ask(https[0], None)
    assert sorted(row.request_id == first.headers["x-request-id"] for row in rows_of(served, 2)) == [False, True]


def test_without_a_key_nothing_is_kept(https, upstreams, served):
    assert [ask(https[0], None).status_code for _ in range(2)] == [200, 200]
    assert len(upstreams.a.log.posts) == 2


def test_the_order_of_fields_means_nothing(https, upstreams, served):
    key, messages = new_key(), [{"role": "user", "content": "the sea"}]
    first = https[0].post(
        "/v1/chat/completions", headers={"Idempotency-Key": key}, json={"model": MODEL, "messages": messages}
    )
    again = https[0].post(
        "/v1/chat/completions", headers={"Idempotency-Key": key}, json={"messages": messages, "model": MODEL}
    )
    assert again.content == first.content
    assert len(upstreams.a.log.posts) == 1


def test_another_request_under_the_same_key_is_refused(https, served, upstreams):
    key = new_key()
    ask(https[0], key)
    assert refusal(ask(https[1], key, temperature=0.5)) == (409, "idempotency_key_reused", "false")
    other_endpoint = ask(https[1], key, endpoint="completions", prompt="the sea", messages=None)
    assert refusal(other_endpoint) == (409, "idempotency_key_reused", "false")
    assert len(upstreams.a.log.posts) == 1


def test_of_two_processes_at_once_one_asks(https, served, upstreams):
    upstreams.a.manners.first_token_s = 0.5
    key = new_key()
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda n: ask(https[n % 2], key), range(12)))
    assert [answer.status_code for answer in answers].count(200) == 1
    refused = {refusal(answer) for answer in answers if answer.status_code != 200}
    assert refused == {(409, "idempotency_in_progress", "true")}
    assert len(upstreams.a.log.posts) == 1
    [whole] = [answer for answer in answers if answer.status_code == 200]
    assert ask(https[1], key).content == whole.content


def test_the_official_sdk_waits_until_the_first_is_answered(gateways, served, upstreams):
    """It retries 409 by itself, as it is told to."""
    upstreams.a.manners.first_token_s = 0.7
    headers = {"Idempotency-Key": new_key()}

    def create(process: GatewayProcess) -> str:
        with OpenAI(base_url=process.base_url, api_key=served.api_key, max_retries=5) as client:
            messages = [{"role": "user", "content": "the sea"}]
            return client.chat.completions.create(model=MODEL, messages=messages, extra_headers=headers).id

    with ThreadPoolExecutor(2) as threads:
        assert len(set(threads.map(create, gateways))) == 1
    assert len(upstreams.a.log.posts) == 1


@pytest.mark.parametrize("fault", ["500", "429"])
def test_what_failed_may_be_tried_again(https, served, upstreams, fault):
    key = new_key()
    upstreams.a.fail(fault)
    assert ask(https[0], key).status_code >= 429
    upstreams.a.heal()
    other = served.connect(upstreams.b.base_url, [MODEL], priority=1)
    eventually(lambda: ask(https[1], key).status_code == 200, 10)
    assert ask(https[0], key).headers["x-shareai-target"].startswith(other.slug)


@pytest.mark.parametrize("fault", ["reset-midstream", "error-event-midway"])
def test_a_stream_that_broke_off_may_be_tried_again(https, served, upstreams, fault):
    key = new_key()
    upstreams.a.manners.token_interval_s = 0.01
    upstreams.a.fail(fault)
    assert '"finish_reason":"error"' in ask(https[0], key, stream=True).text
    upstreams.a.heal()
    assert ask(https[1], key, stream=True).text.endswith("data: [DONE]\n\n")


def test_a_refusal_of_the_request_itself_is_kept(https, served, upstreams):
    key = new_key()
    upstreams.a.fail("422")
    first, again = ask(https[0], key), ask(https[1], key)
    assert (first.status_code, again.status_code) == (422, 422)
    assert again.content == first.content
    assert len(upstreams.a.log.posts) == 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_who_left_and_comes_back_finds_the_answer(gateways, served, upstreams, stream):
    upstreams.a.manners.first_token_s, upstreams.a.manners.token_interval_s = 0.2, 0.03
    headers = {"Authorization": f"Bearer {served.api_key}", "Idempotency-Key": new_key()}
    async with crowd(gateways[0].url, served.api_key, MODEL) as callers:
        callers.session.headers.update(headers)
        if stream:
            assert (await callers.ask("the sea", stream=True, leave_after=400)).end == LEFT
        else:
            leaving = asyncio.create_task(callers.ask("the sea"))
            while not upstreams.a.log.posts:
                await asyncio.sleep(0.01)
            leaving.cancel()
    async with crowd(gateways[1].url, served.api_key, MODEL) as callers, asyncio.timeout(15):
        callers.session.headers.update(headers)
        while (heard := await callers.ask("the sea", stream=stream)).status == 409:
            await asyncio.sleep(0.1)
    assert heard.is_complete
    assert heard.text.endswith("You said: the sea")
    assert len(upstreams.a.log.posts) == 1
    [row] = await sync_to_async(rows_of)(served, 1)
    assert (row.billing_reason, row.status) == ("completed", 200)


def test_a_key_belongs_to_one_api_key(gateway, https, served, upstreams):
    key, (_, other) = new_key(), served.new_key()
    first = ask(https[0], key)
    with httpx.Client(base_url=gateway.url, headers={"Authorization": f"Bearer {other}"}) as colleague:
        second = ask(colleague, key, temperature=0.5)
    assert (first.status_code, second.status_code) == (200, 200)
    assert len(upstreams.a.log.posts) == 2


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "clé".encode()], ids=["empty", "long", "tab", "not ASCII"])
def test_a_key_that_is_none(https, served, upstreams, key):
    answer = ask(https[0], key)
    assert refusal(answer)[:2] == (400, "invalid_request")
    assert answer.json()["error"]["param"] == "Idempotency-Key"
    assert not upstreams.a.log.posts


def test_an_answer_that_is_too_large_is_given_once(https, served, upstreams):
    key = new_key()
    fields = REQUESTS["embeddings"] | {"input": ["the sea"] * 400, "dimensions": 1024}
    first = ask(https[0], key, **fields)
    assert first.status_code == 200
    assert len(first.content) > 4 << 20
    assert refusal(ask(https[1], key, **fields)) == (409, "idempotency_key_reused", "false")
    assert len(upstreams.a.log.posts) == 1


def test_without_redis_a_key_is_refused_and_nothing_else(https, served, own_redis):
    key = new_key()
    ask(https[0], key)
    own_redis.signal(signal.SIGSTOP)
    try:
        assert refusal(ask(https[0], key)) == (503, "temporarily_unavailable", "true")
        assert ask(https[0], None).status_code == 200
    finally:
        own_redis.signal(signal.SIGCONT)
    eventually(lambda: "idempotent-replayed" in ask(https[0], key).headers, BACK_WITHIN_S)
