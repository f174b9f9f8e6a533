"""The endpoints beside chats, each through the real gateway: what holds for chats and embeddings holds for them.

What one of them alone does is in a file of its own, such as tests/routing/test_moderations.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from accounts.limits import set_key_limits
from accounts.organizations import update_organization
from demo.faults import MENU
from demo.faults.catalogue import Kind
from metering import contents
from metering.models import Usage
from routing.services import put_route
from tests.ownredis import eventually
from tests.routing.hearing import let_all_hear
from tests.stack import Tenant

MODEL = "sim-chat"
SENTINEL = "the colour of the safe"
PRICE = {"input_price": "1000", "output_price": "0"}
PATIENCE_S = 10.0
PARKS_THE_KEY = ("401", "403")
SLOW = {"hang", "hang-after-headers", "endless-comments", "stall"}
CALLERS_OWN_FAULT = {"400", "422"}
FAULTS = sorted(
    {slug for slug, kind in MENU.items() if kind in (Kind.EARLY, Kind.MIDWAY)} - SLOW - CALLERS_OWN_FAULT,
    key=lambda slug: (slug in PARKS_THE_KEY, slug),
)
"""What makes a whole answer useless; whatever parks a key of the connection comes last."""
BAD_USAGE = sorted(slug for slug, kind in MENU.items() if kind is Kind.USAGE)
FINE = sorted(slug for slug, kind in MENU.items() if kind is Kind.FINE)


@dataclass(frozen=True)
class Endpoint:
    """`answers`: whether a reply is a right one; `counted` are the tokens of `body`, as `source` has them."""

    url: str
    kind: str
    body: dict[str, Any]
    answers: Callable[[httpx.Response], bool]
    counted: tuple[int, int]
    param: str
    """The field without which there is nothing to answer."""
    source: str = "counted"

    def __str__(self) -> str:
        return self.url


ENDPOINTS = [
    Endpoint(
        "/v1/moderations",
        "moderation",
        {"input": [SENTINEL, "is green"]},
        lambda reply: [one["flagged"] for one in reply.json()["results"]] == [False, False],
        (7, 0),
        "input",
    ),
    Endpoint(
        "/v1/rerank",
        "rerank",
        {"query": SENTINEL, "documents": ["bread", {"text": "the colour of the sea"}]},
        lambda reply: [one["index"] for one in reply.json()["results"]] == [1, 0],
        (16, 0),
        "documents",
        source="reported",
    ),
    Endpoint(
        "/v1/images/generations",
        "image",
        {"prompt": SENTINEL, "n": 2, "response_format": "url"},
        lambda reply: [one["url"][-4:] for one in reply.json()["data"]] == [".png", ".png"],
        (5, 2 * 272),
        "prompt",
        source="reported",
    ),
]


@pytest.fixture(params=ENDPOINTS, ids=str)
def endpoint(request) -> Endpoint:
    return request.param


@pytest.fixture
def pair(tenant: Tenant, upstreams, endpoint):
    """A is tried first, B second."""
    for upstream in (upstreams.a, upstreams.b):
        tenant.connect(upstream.base_url, [{"id": MODEL, "kind": endpoint.kind, **PRICE}])
    return upstreams


@pytest.fixture
def ask(http, endpoint) -> Callable[..., httpx.Response]:
    def ask(model: str = MODEL, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        body = {"model": model, **endpoint.body, **fields}
        return http.post(endpoint.url, json=body, headers=headers or {})

    return ask


@pytest.fixture
def menu(tenant: Tenant, upstreams, endpoint) -> Callable[[list[str]], None]:
    """At A each model meets the fault of its name, at B none does."""

    def serve(faults: list[str]) -> None:
        for upstream, met in ((upstreams.a, True), (upstreams.b, False)):
            models = [{"id": f"m-{slug}", "upstream_id": slug if met else "ok"} for slug in faults]
            tenant.connect(upstream.base_url, [{"kind": endpoint.kind, **PRICE, **model} for model in models])

    return serve


def row_of(tenant: Tenant, reply: httpx.Response) -> Usage:
    rows = Usage.objects.of(tenant.org).filter(request_id=reply.headers["x-request-id"])
    eventually(rows.exists, PATIENCE_S)
    return rows.get()


def error_of(reply: httpx.Response) -> tuple[int, str, str | None]:
    error = reply.json()["error"]
    return reply.status_code, error["code"], error["param"]


def test_it_is_answered_recorded_and_charged(pair, ask, endpoint, tenant):
    reply = ask()
    assert (reply.status_code, endpoint.answers(reply)) == (200, True)
    assert reply.headers["x-shareai-target"] == f"upstream-a/{MODEL}"
    assert {"x-shareai-attempts", "x-shareai-overhead-ms", "x-shareai-cost"} <= set(reply.headers)
    row = row_of(tenant, reply)
    assert (row.endpoint, row.model, row.status, row.billing_reason) == (endpoint.url[4:], MODEL, 200, "completed")
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (*endpoint.counted, endpoint.source)
    assert row.cost_nanos == endpoint.counted[0] * 1_000_000
    assert reply.headers["x-shareai-cost"] == f"0.{row.cost_nanos:09d}"


def test_another_target_answers_whatever_the_first_does(menu, ask, endpoint, upstreams):
    menu(FAULTS)
    for slug in FAULTS:
        reply = ask(f"m-{slug}")
        met = upstreams.a.log.last.fault
        assert reply.status_code == 200, (slug, reply.text)
        assert endpoint.answers(reply), slug
        if met == slug:
            assert reply.headers["x-shareai-target"] == f"upstream-b/m-{slug}", slug
            assert reply.headers["x-shareai-attempts"] == "2", slug


def test_odd_but_right_answers_pass(menu, ask, endpoint, upstreams):
    menu(FINE)
    for slug in FINE:
        reply = ask(f"m-{slug}")
        assert (reply.status_code, endpoint.answers(reply)) == (200, True), slug
    assert not upstreams.b.log.posts


def test_usage_that_cannot_be_true_is_not_charged(menu, ask, endpoint, tenant, upstreams):
    menu(BAD_USAGE)
    for slug in BAD_USAGE:
        reply = ask(f"m-{slug}")
        assert (reply.status_code, endpoint.answers(reply)) == (200, True), slug
        assert 0 < row_of(tenant, reply).input_tokens < 1000, slug
    assert [one.fault for one in upstreams.b.log.posts] == ["ok"], "NaN is no JSON"


def test_a_request_at_fault_is_explained_and_not_tried_elsewhere(menu, ask, endpoint, upstreams):
    menu(sorted(CALLERS_OWN_FAULT))
    for slug in CALLERS_OWN_FAULT:
        reply = ask(f"m-{slug}")
        assert (str(reply.status_code), bool(reply.json()["error"]["message"])) == (slug, True)
    assert not upstreams.b.log.posts


def test_a_caller_who_leaves_cancels_upstream(gateway, tenant, pair, endpoint):
    pair.a.fail("hang")
    headers = {"Authorization": f"Bearer {tenant.api_key}"}

    async def leave_when_it_is_under_way() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=None) as client:
            asked = asyncio.create_task(client.post(endpoint.url, json={"model": MODEL, **endpoint.body}))
            while not pair.a.log.posts:
                await asyncio.sleep(0.01)
            asked.cancel()
            await asyncio.wait([asked])

    asyncio.run(asyncio.wait_for(leave_when_it_is_under_way(), PATIENCE_S))
    pair.a.log.wait_until(lambda log: not log.in_flight, PATIENCE_S)
    assert not pair.b.log.posts


def test_what_cannot_be_asked_is_refused_and_not_sent(pair, ask, http, endpoint, tenant, upstreams):
    tenant.connect(upstreams.c.base_url, ["chats-only"])
    assert error_of(ask(stream=True)) == (400, "unsupported_parameter", "stream")
    assert error_of(ask(**{endpoint.param: None})) == (400, "invalid_request", endpoint.param)
    assert error_of(http.post(endpoint.url, content=b'{"model": "m", "model": "n"}'))[:2] == (400, "invalid_json")
    assert error_of(ask("nobodys-model")) == (404, "model_not_found", "model")
    assert error_of(ask("upstream-c/chats-only")) == (400, "invalid_request", "model")
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
    assert error_of(http.post("/v1/chat/completions", json=body)) == (400, "invalid_request", "model")
    assert not [exchange for upstream in upstreams for exchange in upstream.log.posts]


def test_keys_routes_wishes_and_limits_hold(gateway, pair, ask, endpoint, tenant):
    _, plain = tenant.new_key(allowed_models=["something-else"])
    as_other = {"Authorization": f"Bearer {plain}"}
    assert error_of(ask(headers=as_other)) == (403, "model_not_allowed", "model")
    put_route(tenant.org, tenant.actor, "second", {"targets": [{"target": f"upstream-b/{MODEL}"}]})
    limited, its_plain = tenant.new_key(name="limited")
    set_key_limits(limited, tenant.actor, wishes={"rpm": 1})
    let_all_hear(gateway, tenant)
    routed = ask("second")
    assert routed.headers["x-shareai-route"] == "second"
    assert routed.headers["x-shareai-target"] == f"upstream-b/{MODEL}"
    assert ask(provider={"order": ["upstream-b"]}).headers["x-shareai-target"] == f"upstream-b/{MODEL}"
    assert not {"provider", "models"} & pair.b.log.last.body.keys()
    statuses = [ask(headers={"Authorization": f"Bearer {its_plain}"}).status_code for _ in range(2)]
    assert statuses == [200, 429]


def test_one_idempotency_key_is_served_once(pair, ask, endpoint):
    first, again = (ask(headers={"Idempotency-Key": "once"}) for _ in range(2))
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.content, again.headers["content-type"]) == (first.content, first.headers["content-type"])
    assert endpoint.answers(again)
    assert len(pair.a.log.posts) == 1


def test_what_is_asked_and_answered_is_kept_for_those_who_want_it(gateway, pair, ask, tenant):
    update_organization(tenant.org, tenant.actor, log_content=True)
    let_all_hear(gateway, tenant)
    request_id = ask().headers["x-request-id"]
    eventually(lambda: contents.is_kept(tenant.org, request_id), PATIENCE_S)
    kept = contents.read(tenant.org, tenant.actor, request_id)
    assert kept is not None
    assert SENTINEL in kept.transcript.prompt
    assert kept.transcript.answer


def test_explained_by_its_kind(pair, http, endpoint) -> None:
    told = http.post("/v1/route/explain", json={"model": MODEL, "kind": endpoint.kind}).json()
    assert [one["target"] for one in told["candidates"]] == [f"upstream-a/{MODEL}", f"upstream-b/{MODEL}"]
    assert http.get(f"/v1/models/{MODEL}").json()["type"] == endpoint.kind
    assert not pair.a.log.posts
