"""`POST /v1/compare`: one prompt at several models, each a request of its own."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx
import pytest

from metering.models import Usage
from tests.fakes.wirelog import End
from tests.stack import Tenant

ASKED = {"messages": [{"role": "user", "content": "Which of you is cheaper?"}]}


@pytest.fixture
def two(tenant, upstreams) -> Tenant:
    """`cheap` is served by A, `dear` by B for a hundred times the price."""
    tenant.connect(
        upstreams.a.base_url, [{"id": "cheap", "upstream_id": "sim-chat", "input_price": "1", "output_price": "2"}]
    )
    tenant.connect(
        upstreams.b.base_url, [{"id": "dear", "upstream_id": "sim-chat", "input_price": "100", "output_price": "200"}]
    )
    return tenant


def rows_of(tenant: Tenant, count: int) -> dict[str, Usage]:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        rows = {row.request_id: row for row in Usage.objects.filter(org_id=tenant.org.pk)}
        if len(rows) >= count:
            return rows
        time.sleep(0.05)
    raise AssertionError("not recorded")


def test_each_is_served_billed_and_told(two, http):
    told = http.post("/v1/compare", json={"models": ["dear", "cheap"], **ASKED}).json()
    dear, cheap = told["data"]
    assert (told["object"], dear["model"], cheap["model"]) == ("comparison", "dear", "cheap")
    assert (dear["target"], cheap["target"]) == ("upstream-b/dear", "upstream-a/cheap")
    assert (told["cheapest"], Decimal(dear["cost_usd"])) == ("cheap", 100 * Decimal(cheap["cost_usd"]))
    assert told["fastest"] == min(told["data"], key=lambda one: one["duration_ms"])["model"]
    rows = rows_of(two, 2)
    for one in told["data"]:
        row, usage = rows[one["request_id"]], one["response"]["usage"]
        assert one["response"]["choices"][0]["message"]["content"]
        assert (one["status"], one["error"], one["attempts"]) == (200, None, 1)
        assert (row.model, row.input_tokens, row.output_tokens) == (
            one["model"],
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )
        assert Decimal(row.cost_nanos) / 10**9 == Decimal(one["cost_usd"]) > 0


def test_one_that_fails_has_its_error_in_its_place(two, http, upstreams):
    upstreams.b.fail("500")
    told = http.post("/v1/compare", json={"models": ["cheap", "dear", "nothing"], **ASKED}).json()
    cheap, dear, unknown = told["data"]
    assert (cheap["status"], dear["status"], unknown["status"]) == (200, 502, 404)
    assert dear["response"] is unknown["response"] is None
    assert unknown["error"]["code"] == "model_not_found"
    assert dear["cost_usd"] is None
    assert (told["cheapest"], told["fastest"]) == ("cheap", "cheap")


def test_nobody_answers_and_nobody_wins(two, http):
    told = http.post("/v1/compare", json={"models": ["one", "two"], **ASKED}).json()
    assert (told["cheapest"], told["fastest"], [one["status"] for one in told["data"]]) == (None, None, [404, 404])


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({}, "models"),
        ({"models": "cheap"}, "models"),
        ({"models": ["cheap"]}, "models"),
        ({"models": ["cheap", "cheap"]}, "models"),
        ({"models": ["cheap", 1]}, "models"),
        ({"models": ["a", "b", "c", "d", "e"]}, "models"),
        ({"models": ["cheap", ""]}, "model"),
        ({"models": ["cheap", "dear"], "model": "cheap"}, "model"),
        ({"models": ["cheap", "dear"], "stream": True}, "stream"),
        ({"models": ["cheap", "dear"], "messages": "hello"}, "messages"),
        ({"models": ["cheap", "dear"], "max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_is_wrong_is_said_before_anybody_is_asked(two, http, upstreams, wrong, param):
    refused = http.post("/v1/compare", json=ASKED | wrong)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert not any(upstream.log.posts for upstream in upstreams)


def test_it_does_not_pretend_to_be_idempotent(two, http, upstreams):
    body = {"models": ["cheap", "dear"], **ASKED}
    assert http.post("/v1/compare", json=body, headers={"Idempotency-Key": "once"}).status_code == 400
    assert not any(upstream.log.posts for upstream in upstreams)


def test_a_key_bound_to_models_compares_those(two, http):
    plain = two.new_key(allowed_models=["cheap"])[1]
    told = http.post(
        "/v1/compare", json={"models": ["cheap", "dear"], **ASKED}, headers={"Authorization": f"Bearer {plain}"}
    ).json()
    assert [(one["status"], (one["error"] or {}).get("code")) for one in told["data"]] == [
        (200, None),
        (403, "model_not_allowed"),
    ]


def test_they_are_asked_at_once_and_let_go_when_the_caller_leaves(two, gateway, upstreams):
    for upstream in (upstreams.a, upstreams.b):
        upstream.fail("hang")
    with httpx.Client(base_url=gateway.url, headers={"Authorization": f"Bearer {two.api_key}"}) as leaving:
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(
                leaving.post, "/v1/compare", json={"models": ["cheap", "dear"], **ASKED}, timeout=1.5
            )
            for upstream in (upstreams.a, upstreams.b):
                upstream.log.wait_until(lambda log: len(log.posts) == 1)
            assert isinstance(asked.exception(), httpx.ReadTimeout)
    for upstream in (upstreams.a, upstreams.b):
        upstream.log.wait_until(lambda log: log.last.end is End.CLIENT_LEFT)
    assert {row.error_code for row in rows_of(two, 2).values()} == {"client_closed_request"}
