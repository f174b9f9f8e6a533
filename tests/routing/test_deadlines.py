"""Nobody waits for ever: each deadline of an upstream, of a caller, and of the whole, short enough to wait for."""

from __future__ import annotations

import socket
import time

import httpx
import openai
import orjson
import pytest
from django.db.models import QuerySet
from openai import OpenAI

from accounts.keys import revoke_key
from metering.models import Usage
from routing.services import put_route
from tests.fakes.wirelog import End
from tests.routing.slow_reader import resident_mib, unread_streams

MODEL = "sim-chat"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Take your time."}]}
URL = "/v1/chat/completions"
SLOW_READERS = 16
HELD_MIB = 3
"""Room for what one slow reader's stream may hold: buffers towards both sides, and what the allocator rounds up."""


@pytest.fixture
def http(impatient, impatient_tenant):
    headers = {"Authorization": f"Bearer {impatient_tenant.api_key}"}
    with httpx.Client(base_url=impatient.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def sdk(impatient, impatient_tenant):
    with OpenAI(base_url=impatient.base_url, api_key=impatient_tenant.api_key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def pair(impatient_tenant, upstreams):
    """A is tried first, B second."""
    impatient_tenant.connect(upstreams.a.base_url, [MODEL])
    impatient_tenant.connect(upstreams.b.base_url, [MODEL])
    yield upstreams
    for upstream in upstreams:
        upstream.manners.first_token_s = upstream.manners.token_interval_s = 0
        upstream.manners.endless_interval_s, upstream.manners.endless_pieces = 0.001, 1


@pytest.fixture
def row_of(impatient_tenant):
    def row_of(request_id: str | None = None) -> Usage:
        """The record of a request, or of the only one there is."""
        rows = Usage.objects.filter(org_id=impatient_tenant.org.pk)
        [row] = recorded(rows.filter(request_id=request_id) if request_id else rows)
        return row

    return row_of


def recorded(rows: QuerySet[Usage]) -> list[Usage]:
    """The rows as soon as there are any."""
    until = time.monotonic() + 10
    while not (found := list(rows.all())):
        assert time.monotonic() < until, "it was never recorded"
        time.sleep(0.05)
    return found


def events_of(response: httpx.Response) -> list[bytes]:
    return [line[6:] for line in response.content.split(b"\n") if line.startswith(b"data: ")]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("fault", ["hang", "hang-after-headers", "endless-comments"])
def test_no_first_byte_in_time(http, pair, row_of, fault, stream):
    pair.a.fail(fault)
    response = http.post(URL, json=BODY | {"stream": stream})
    assert response.headers["x-shareai-target"] == f"upstream-b/{MODEL}"
    pair.a.log.wait_until(lambda log: log.last.end is End.CLIENT_LEFT)
    attempts = row_of(response.headers["x-request-id"]).attempts
    assert [attempt["outcome"] for attempt in attempts] == ["first_byte_timeout", "ok"]


def test_a_whole_answer_that_stalls_in_the_middle(http, pair):
    pair.a.fail("stall")
    assert http.post(URL, json=BODY).headers["x-shareai-target"] == f"upstream-b/{MODEL}"


def test_a_whole_answer_may_be_silent_for_longer_than_a_stream(http, pair):
    pair.a.manners.first_token_s = 1.7
    response = http.post(URL, json=BODY)
    assert (response.status_code, response.headers["x-shareai-attempts"]) == (200, "1")
    assert response.headers["x-shareai-target"] == f"upstream-a/{MODEL}"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_when_all_are_late_the_caller_is_told_not_to_try_again(http, pair, row_of, stream):
    pair.a.fail("hang")
    pair.b.fail("hang")
    response = http.post(URL, json=BODY | {"stream": stream})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "ttft_timeout")
    assert response.headers["x-should-retry"] == "false"
    row = row_of(response.headers["x-request-id"])
    assert (row.status, row.error_code, row.billing_reason) == (504, "ttft_timeout", "no_charge_error")


def test_a_route_has_its_own_patience(gateway, tenant, upstreams):
    """On the gateway with the shipped minute."""
    tenant.connect(upstreams.a.base_url, [MODEL])
    tenant.connect(upstreams.b.base_url, [MODEL])
    legs = [{"target": f"upstream-a/{MODEL}"}, {"target": f"upstream-b/{MODEL}", "tier": 1}]
    put_route(tenant.org, tenant.actor, "quick", {"targets": legs, "timeouts": {"first_byte_s": 0.3}})
    upstreams.a.fail("hang")
    with OpenAI(base_url=gateway.base_url, api_key=tenant.api_key, max_retries=0, timeout=20) as client:
        chunks = list(client.chat.completions.create(**BODY | {"model": "quick"}, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(upstreams.a.log.posts) == len(upstreams.b.log.posts) == 1


def test_a_stream_that_falls_silent(sdk, pair, row_of):
    pair.a.fail("stall")
    heard = []
    with pytest.raises(openai.APIError) as caught:
        heard.extend(sdk.chat.completions.create(**BODY, stream=True))
    assert heard
    assert caught.value.code == "upstream_timeout"
    pair.a.log.wait_until(lambda log: log.last.end is End.CLIENT_LEFT)
    row = row_of()
    assert (row.status, row.billing_reason, row.error_code) == (200, "interrupted_delivered", "upstream_timeout")
    assert 0 < row.output_tokens < 20


def test_a_stream_without_an_end(http, pair, row_of):
    pair.a.fail("endless-tokens")
    response = http.post(URL, json=BODY | {"stream": True})
    last = orjson.loads(events_of(response)[-1])
    assert last["error"]["code"] == "upstream_timeout"
    pair.a.log.wait_until(lambda log: log.last.end is End.CLIENT_LEFT)
    assert row_of().billing_reason == "interrupted_delivered"


def test_the_whole_has_a_deadline_too(http, impatient_tenant, pair, row_of):
    impatient_tenant.connect(pair.c.base_url, [MODEL])
    for upstream in pair:
        upstream.fail("hang")
    response = http.post(URL, json=BODY)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")
    assert len(pair.c.log.posts) == 1
    pair.c.log.wait_until(lambda log: log.last.end is End.CLIENT_LEFT)
    row = row_of(response.headers["x-request-id"])
    assert (row.status, row.error_code, row.billing_reason) == (504, "upstream_timeout", "no_charge_error")
    assert [attempt["outcome"] for attempt in row.attempts] == [
        "first_byte_timeout",
        "first_byte_timeout",
        "cancelled",
    ]


def test_a_body_that_does_not_arrive(impatient, impatient_tenant, pair):
    head = (
        f"POST {URL} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {impatient_tenant.api_key}\r\n"
        "content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as line:
        line.sendall(head.encode() + b'{"model": ')
        assert line.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert not pair.a.log.posts


def test_a_caller_who_does_not_read_is_left_and_pays_for_what_was_sent(impatient, impatient_tenant, pair, row_of):
    pair.a.fail("endless-tokens")
    pair.a.manners.endless_interval_s, pair.a.manners.endless_pieces = 0, 256
    with unread_streams(impatient, impatient_tenant.api_key, MODEL):
        pair.a.log.wait_until(lambda log: len(log) and log.last.end is End.CLIENT_LEFT, 15)
        row = row_of()
    assert (row.status, row.billing_reason) == (499, "cancelled_delivered")
    assert row.error_code == "client_stalled"
    assert 0 < row.output_tokens <= pair.a.log.last.sent_tokens


def test_a_caller_who_does_not_read_pauses_the_upstream_and_costs_little_memory(gateway, tenant, upstreams):
    """On the gateway that bears a stalled caller for a minute."""
    tenant.connect(upstreams.a.base_url, [MODEL])
    upstreams.a.fail("endless-tokens")
    upstreams.a.manners.endless_interval_s, upstreams.a.manners.endless_pieces = 0, 256
    before_mib = resident_mib(gateway)
    try:
        with unread_streams(gateway, tenant.api_key, MODEL, SLOW_READERS):
            upstreams.a.log.wait_until(lambda log: len(log.in_flight) == SLOW_READERS)
            sent_bytes = _settled_bytes(upstreams.a)
            assert len(upstreams.a.log.in_flight) == SLOW_READERS
            assert sent_bytes > SLOW_READERS << 20
            assert resident_mib(gateway) - before_mib < SLOW_READERS * HELD_MIB
        upstreams.a.log.wait_until(lambda log: not log.in_flight)
    finally:
        upstreams.a.manners.endless_interval_s, upstreams.a.manners.endless_pieces = 0.001, 1


def _settled_bytes(upstream) -> int:
    """How much the upstream got rid of when it cannot get rid of any more."""
    until, last, quiet = time.monotonic() + 30, -1, 0
    while quiet < 5:
        assert time.monotonic() < until, "the upstream is never paused"
        time.sleep(0.1)
        now = sum(exchange.sent_bytes for exchange in upstream.log)
        quiet, last = (quiet + 1 if now == last else 0), now
    return last


def test_a_revoked_key_ends_a_stream_that_nobody_reads(gateway, tenant, upstreams):
    """The caller cannot be told any more; the upstream is, and what was delivered is recorded."""
    tenant.connect(upstreams.a.base_url, [MODEL])
    key, plain = tenant.new_key()
    upstreams.a.fail("endless-tokens")
    upstreams.a.manners.endless_interval_s, upstreams.a.manners.endless_pieces = 0, 256
    try:
        with unread_streams(gateway, plain, MODEL):
            upstreams.a.log.wait_until(lambda log: len(log.in_flight) == 1)
            _settled_bytes(upstreams.a)
            revoke_key(key, tenant.actor)
            upstreams.a.log.wait_until(lambda log: not log.in_flight, 10)
            [row] = recorded(Usage.objects.filter(key_id=key.pk))
        assert (row.error_code, row.billing_reason) == ("key_revoked", "interrupted_delivered")
    finally:
        upstreams.a.manners.endless_interval_s, upstreams.a.manners.endless_pieces = 0.001, 1
