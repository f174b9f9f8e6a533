"""A caller's trace goes on through the gateway: to whoever is asked, into the record, into the trace of the route."""

from __future__ import annotations

import pytest

from metering.models import Usage
from tests.ownredis import eventually

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE}-{SPAN}-01"
HELLO = {"model": "sim-chat", "messages": [{"role": "user", "content": "hello"}]}
TOLD = {"X-ShareAI-Metadata": "enabled"}


@pytest.fixture(autouse=True)
def connected(tenant, upstreams):
    tenant.connect(upstreams.a.base_url, ["sim-chat"])
    tenant.connect(upstreams.b.base_url, ["sim-chat"])


def recorded(answer) -> Usage:
    found = Usage.objects.filter(request_id=answer.headers["x-request-id"])
    eventually(found.exists, 10)
    return found.get()


@pytest.mark.parametrize("stream", [False, True])
def test_each_who_is_asked_gets_a_span_of_the_callers_trace(http, upstreams, stream):
    upstreams.a.fail("500")
    answer = http.post("/v1/chat/completions", json=HELLO | {"stream": stream}, headers={"traceparent": SENT} | TOLD)
    assert answer.status_code == 200
    passed_on = [upstream.log.posts[0].headers["traceparent"] for upstream in (upstreams.a, upstreams.b)]
    assert all(said.startswith(f"00-{TRACE}-") and said.endswith("-01") for said in passed_on)
    assert len({SENT, *passed_on}) == 3
    assert f'"trace_id":"{TRACE}"' in answer.text
    assert recorded(answer).metadata == {"trace_id": TRACE}


@pytest.mark.parametrize(
    "sent",
    [(), (SENT[:-1],), (SENT.replace(TRACE, "0" * 32),), (SENT, SENT)],
    ids=["none", "malformed", "zeros", "two"],
)
def test_without_a_trace_of_the_callers_there_is_none(http, upstreams, sent):
    headers = [*TOLD.items(), *(("traceparent", said) for said in sent), ("tracestate", "vendor=secret")]
    answer = http.post("/v1/chat/completions", json=HELLO, headers=headers)
    assert answer.status_code == 200
    assert not {"traceparent", "tracestate"} & upstreams.a.log.posts[0].headers.keys()
    assert "trace_id" not in answer.json()["shareai"]
    assert recorded(answer).metadata is None


def test_a_refusal_is_of_the_trace_too(http):
    headers = {"traceparent": SENT} | TOLD
    answer = http.post("/v1/chat/completions", json=HELLO | {"model": "unknown"}, headers=headers)
    assert answer.status_code == 404
    assert answer.json()["shareai"]["trace_id"] == TRACE
    assert recorded(answer).metadata == {"trace_id": TRACE}
