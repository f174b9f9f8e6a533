"""The fault menu through the real gateway: A misbehaves in every way, B is well."""

from __future__ import annotations

import asyncio
import time

import httpx
import openai
import orjson
import pytest

from demo.faults import MENU
from demo.faults.catalogue import Kind
from providers.services import update_connection
from tests.figures import timed

MODEL = "sim-chat"
ASK = [{"role": "user", "content": "Tell me about failover."}]
BODY = {"model": MODEL, "messages": ASK}
URL = "/v1/chat/completions"
PATIENCE_S = 10.0

CALLERS_OWN_FAULT = {"400", "422"}
"""The upstream says that the request is wrong: another one would say so too."""

SLOW = {"hang", "hang-after-headers", "endless-comments", "stall"}
"""Seen by a deadline only; tests/routing/test_deadlines.py has short ones."""

BEFORE_CONTENT = sorted(
    slug for slug, kind in MENU.items() if kind is Kind.EARLY and slug not in CALLERS_OWN_FAULT | SLOW
)
WHOLE_ANSWER = sorted(
    slug for slug, kind in MENU.items() if kind in (Kind.EARLY, Kind.MIDWAY) and slug not in CALLERS_OWN_FAULT | SLOW
)
FINE = sorted(slug for slug, kind in MENU.items() if kind is Kind.FINE)
BAD_USAGE = sorted(slug for slug, kind in MENU.items() if kind is Kind.USAGE)


@pytest.fixture
def pair(tenant, upstreams):
    """A is tried first, B second."""
    tenant.connect(upstreams.a.base_url, [MODEL])
    tenant.connect(upstreams.b.base_url, [MODEL])
    return upstreams


def text_of(chunks) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("fault", WHOLE_ANSWER)
def test_unary_gets_the_other_answer(client, pair, fault):
    pair.a.fail(fault)
    raw = client.chat.completions.with_raw_response.create(**BODY)
    assert raw.headers["x-shareai-target"] == f"upstream-b/{MODEL}"
    assert raw.headers["x-shareai-attempts"] == "2"
    assert raw.parse().choices[0].message.content
    assert len(pair.b.log.posts) == 1


@pytest.mark.parametrize("fault", BEFORE_CONTENT)
def test_a_stream_gets_the_other_answer(client, pair, fault):
    pair.a.fail(fault)
    chunks = list(client.chat.completions.create(**BODY, stream=True))
    assert text_of(chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(pair.b.log.posts) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FINE)
def test_odd_but_right_answers_pass(client, pair, fault, stream):
    pair.a.fail(fault)
    answer = client.chat.completions.create(**BODY, stream=stream)
    text = text_of(list(answer)) if stream else answer.choices[0].message.content
    pair.a.heal()
    assert text.endswith(client.chat.completions.create(**BODY).choices[0].message.content)
    assert not pair.b.log.posts


@pytest.mark.parametrize("fault", ["error-event-midway", "reset-midstream", "cut-midstream"])
def test_a_stream_that_breaks_after_its_first_content_says_so(client, pair, fault):
    pair.a.fail(fault)
    pair.a.manners.token_interval_s = 0.02
    received = []
    with pytest.raises(openai.APIError) as caught:
        received.extend(client.chat.completions.create(**BODY, stream=True))
    pair.a.manners.token_interval_s = 0
    assert text_of(received)
    assert "broke off" in str(caught.value)
    assert not pair.b.log.posts


@pytest.mark.parametrize("fault", sorted(set(MENU) - SLOW - {"endless-tokens"}))
def test_no_stream_ends_silently(http, pair, fault):
    """Each stream ends with the terminator, or with an error event, or was never begun."""
    pair.a.fail(fault)
    pair.b.fail(fault)
    response = http.post(URL, json=BODY | {"stream": True})
    if response.status_code != 200:
        assert {"message", "type", "param", "code"} <= response.json()["error"].keys()
        return
    events = [line[6:] for line in response.content.split(b"\n") if line.startswith(b"data: ")]
    if events[-1] != b"[DONE]":
        last = orjson.loads(events[-1])
        assert last["error"]["message"]
        assert last["choices"][0]["finish_reason"] == "error"


@pytest.mark.parametrize("fault", ["gzip-bomb", "event-10mib"])
def test_what_is_too_large_is_another_failure(http, pair, fault):
    pair.a.fail(fault)
    response = http.post(URL, json=BODY | {"stream": fault == "event-10mib"})
    assert response.status_code == 200
    assert len(response.content) < 1 << 20


def test_a_caller_who_leaves_an_endless_stream_ends_it_upstream(gateway, tenant, pair):
    pair.a.fail("endless-tokens")
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    with httpx.stream("POST", gateway.url + URL, json=BODY | {"stream": True}, headers=headers) as response:
        next(response.iter_bytes())
    with timed("a caller who leaves an endless stream ends it upstream after"):
        pair.a.log.wait_until(lambda log: not log.in_flight, PATIENCE_S)


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_leaves_early_cancels_upstream(gateway, tenant, pair, stream):
    pair.a.fail("hang")
    headers = {"Authorization": f"Bearer {tenant.api_key}"}

    async def leave_when_it_is_under_way() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=None) as client:
            asked = asyncio.create_task(client.post(URL, json=BODY | {"stream": stream}))
            while not pair.a.log.posts:
                await asyncio.sleep(0.01)
            asked.cancel()
            await asyncio.wait([asked])

    asyncio.run(asyncio.wait_for(leave_when_it_is_under_way(), PATIENCE_S))
    pair.a.log.wait_until(lambda log: not log.in_flight, PATIENCE_S)
    assert not pair.b.log.posts


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", BAD_USAGE)
def test_usage_that_cannot_be_true_never_reaches_the_caller(client, pair, fault, stream):
    pair.a.fail(fault)
    if stream:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        usage = list(client.chat.completions.create(**BODY, **options))[-1].usage
    else:
        usage = client.chat.completions.create(**BODY).usage
    assert 0 <= usage.prompt_tokens < 1000
    assert 0 <= usage.completion_tokens < 1000
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.parametrize("fault", sorted(CALLERS_OWN_FAULT))
def test_a_rejected_request_is_not_tried_elsewhere(client, pair, fault):
    pair.a.fail(fault)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**BODY)
    assert str(caught.value.status_code) == fault
    assert caught.value.body["message"]
    assert not pair.b.log.posts


def test_a_refused_connection(client, tenant, upstreams):
    tenant.connect(upstreams.c.base_url, [MODEL])
    tenant.connect(upstreams.b.base_url, [MODEL])
    upstreams.c.close()
    try:
        raw = client.chat.completions.with_raw_response.create(**BODY)
        assert raw.headers["x-shareai-target"].startswith("upstream-b/")
    finally:
        upstreams.c.__enter__()


def test_when_all_fail_the_answer_says_what_was_tried(http, pair):
    pair.a.fail("500")
    pair.b.fail("503")
    response = http.post(URL, json=BODY)
    assert response.status_code == 502
    assert response.headers["x-should-retry"] == "false"
    error = response.json()["error"]
    assert error["code"] == "provider_unavailable"
    assert [attempt["reason"] for attempt in error["metadata"]["attempts"]] == ["server_error", "server_error"]
    assert "127.0.0.1" not in response.text


def test_upstream_texts_of_server_errors_do_not_leak(http, pair):
    pair.a.fail("500")
    pair.b.fail("500")
    response = http.post(URL, json=BODY)
    assert "upstream-key" not in response.text
    for upstream in (pair.a, pair.b):
        upstream.log.wait_until(lambda log: log.last.status == 500)


def test_keys_rotate_when_one_is_refused(client, tenant, upstreams):
    upstreams.a.keys.add("second-key")
    upstreams.a.keys.discard("upstream-key")
    try:
        tenant.connect(upstreams.a.base_url, [MODEL], api_keys=["upstream-key", "second-key"])
        for _ in range(12):
            assert client.chat.completions.create(**BODY).choices[0].message.content
        refused = [exchange for exchange in upstreams.a.log.posts if exchange.status == 401]
        assert 0 < len(refused) <= 2
    finally:
        upstreams.a.keys.add("upstream-key")


def test_the_trace_tells_the_story(http, pair):
    pair.a.fail("500")
    answer = http.post(URL, json=BODY, headers={"X-ShareAI-Metadata": "enabled"}).json()
    attempts = answer["shareai"]["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["server_error", "ok"]
    raw = http.post(URL, json=BODY | {"stream": True}, headers={"X-ShareAI-Metadata": "enabled"}).content
    events = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]
    assert events[-1] == b"[DONE]"
    assert orjson.loads(events[-2])["shareai"]["attempts"][-1]["outcome"] == "ok"


def test_a_changed_priority_is_taken_up(http, tenant, pair):
    a, _ = tenant.connections
    update_connection(a, tenant.actor, priority=99)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if http.post(URL, json=BODY).headers["x-shareai-target"].startswith("upstream-b/"):
            return
    raise AssertionError("the changed priority was never seen")


def test_who_is_left_when_a_request_has_tried_enough(http, tenant, upstreams):
    """The next request may come to them, for those that failed are known by then."""
    for name in ("One", "Two", "Three", "Four"):
        tenant.connect(upstreams.a.base_url, [MODEL], name=name)
    upstreams.a.fail("500")
    response = http.post(URL, json=BODY)
    assert (response.status_code, response.headers["x-should-retry"]) == (502, "true")
    assert "1 more could not be tried" in response.json()["error"]["message"]
