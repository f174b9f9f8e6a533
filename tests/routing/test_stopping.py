"""A gateway that is told to stop: what is in flight is finished, or ended and recorded; nothing new is begun."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import orjson
import pytest

from metering.models import Usage
from tests.fakes.wirelog import End
from tests.stack import GatewayProcess, allow_of

MODEL = "sim-chat"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
URL = "/v1/chat/completions"
GRACE_S = 1


@pytest.fixture
def leaving(tenant, upstreams, upstream_servers, tmp_path):
    """A gateway to be stopped by the test."""
    tenant.connect(upstreams.a.base_url, [MODEL])
    gateway = GatewayProcess(tmp_path, egress_allow=allow_of(upstream_servers), grace_s=GRACE_S)
    gateway.start()
    yield gateway
    gateway.stop()
    upstreams.a.manners.first_token_s = 0


@pytest.fixture
def headers(tenant):
    return {"Authorization": f"Bearer {tenant.api_key}"}


def rows_of(tenant) -> list[Usage]:
    return list(Usage.objects.filter(org_id=tenant.org.pk))


def test_what_ends_in_time_is_finished(leaving, tenant, upstreams, headers):
    upstreams.a.manners.first_token_s = 0.5
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(httpx.post, leaving.url + URL, json=BODY, headers=headers, timeout=20)
        upstreams.a.log.wait_until(lambda log: len(log.posts) == 1)
        leaving.stop()
        assert asked.result().status_code == 200
    assert [row.billing_reason for row in rows_of(tenant)] == ["completed"]


def test_a_request_without_an_answer_yet_is_told_to_come_back(leaving, tenant, upstreams, headers):
    upstreams.a.fail("hang")
    answer = asked_while_stopping(leaving, upstreams, headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
    assert answer.headers["x-should-retry"] == "true"
    upstreams.a.log.wait_until(lambda log: log.last.end is End.CLIENT_LEFT)
    [row] = rows_of(tenant)
    assert (row.status, row.error_code, row.billing_reason) == (503, "draining", "no_charge_error")


def test_a_stream_says_that_it_is_broken_off_and_is_recorded(leaving, tenant, upstreams, headers):
    upstreams.a.fail("endless-tokens")
    answer = asked_while_stopping(leaving, upstreams, headers)
    last = [line[6:] for line in answer.content.split(b"\n") if line.startswith(b"data: ")][-1]
    assert orjson.loads(last)["error"]["code"] == "draining"
    upstreams.a.log.wait_until(lambda log: log.last.end is End.CLIENT_LEFT)
    [row] = rows_of(tenant)
    assert (row.status, row.error_code, row.billing_reason) == (200, "draining", "interrupted_delivered")
    assert 0 < row.output_tokens <= upstreams.a.log.last.sent_tokens
    assert not [path for path in leaving.data_dir.glob("journal/*") if path.is_file()]


def asked_while_stopping(leaving: GatewayProcess, upstreams, headers) -> httpx.Response:
    """The answer to a stream that was asked for before the gateway was told to stop."""
    with ThreadPoolExecutor(1) as thread:
        body = BODY | {"stream": True}
        asked = thread.submit(httpx.post, leaving.url + URL, json=body, headers=headers, timeout=20)
        upstreams.a.log.wait_until(lambda log: len(log.posts) == 1 and (log.last.hanging or log.last.sent_tokens > 1))
        leaving.stop()
        return asked.result()
