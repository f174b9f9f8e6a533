"""A stream that breaks off in its middle goes on at the next target, where its route says so: one answer, one row,
and each target billed its part."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import orjson
import pytest
from openai import APIError, OpenAI

from accounts.limits import set_limits
from accounts.scopes import ORGANISATION
from metering.models import BudgetWindow, Usage
from metering.tokens import count_tokens
from routing.cache_services import put_policy
from routing.services import put_route
from tests.routing.conftest import Upstreams
from tests.routing.test_outages import eventually
from tests.stack import GatewayProcess, Tenant

MODEL, ROUTE = "sim-chat", "story"
PROMPT = "Tell me of the sea and of all that is in it."
WHOLE = f"This is a simulated answer from A. No model was asked. You said: {PROMPT}"
BREAKING = ["reset-midstream", "error-event-midway", "cut-midstream", "stall"]


@pytest.fixture
def gateway(impatient) -> GatewayProcess:
    return impatient


@pytest.fixture
def tenant(impatient_tenant) -> Tenant:
    return impatient_tenant


@pytest.fixture
def paced(upstreams: Upstreams) -> Iterator[Upstreams]:
    for upstream in upstreams:
        upstream.manners.token_interval_s = 0.01
    yield upstreams
    for upstream in upstreams:
        upstream.manners.token_interval_s = 0


def offer(tenant: Tenant, upstreams: Upstreams, *, able=("prefill",), **wishes) -> None:
    """A at one dollar and two per million tokens, B at three and four, C as B."""
    for upstream, prices in zip(upstreams, (("1", "2"), ("3", "4"), ("3", "4")), strict=True):
        model = {"id": MODEL, "input_price": prices[0], "output_price": prices[1], "capabilities": list(able)}
        tenant.connect(upstream.base_url, [model])
    targets = [{"target": f"{connection.slug}/{MODEL}", "tier": n} for n, connection in enumerate(tenant.connections)]
    put_route(tenant.org, tenant.actor, ROUTE, {"targets": targets, "continue_streams": True} | wishes)


@pytest.fixture
def story(tenant, paced) -> Tenant:
    offer(tenant, paced)
    return tenant


def chunks(client: OpenAI, **wishes):
    body = {"model": ROUTE, "messages": [{"role": "user", "content": PROMPT}], "stream": True}
    return list(client.chat.completions.create(**body | wishes))


def text_of(answer) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


def raw(http: httpx.Client, **wishes) -> list[dict]:
    body = {"model": ROUTE, "messages": [{"role": "user", "content": PROMPT}], "stream": True}
    answer = http.post("/v1/chat/completions", json=body | wishes, headers={"X-ShareAI-Metadata": "enabled"})
    events = [event.removeprefix("data: ") for event in answer.text.split("\n\n") if event.startswith("data: ")]
    return [orjson.loads(event) for event in events if event != "[DONE]"]


def said(line: str) -> str:
    """What a line of a stream adds to its text."""
    if not line.startswith("data: {"):
        return ""
    return "".join(choice["delta"].get("content") or "" for choice in orjson.loads(line[6:])["choices"])


def row_of(tenant: Tenant) -> Usage:
    eventually(Usage.objects.filter(org_id=tenant.org.pk).exists, 10)
    return Usage.objects.get(org_id=tenant.org.pk)


def asked(upstream) -> dict:
    [exchange] = upstream.log.posts
    return exchange.body


@pytest.mark.parametrize("fault", BREAKING)
def test_the_caller_reads_one_whole_answer(client, story, paced, fault):
    paced.a.fail(fault)
    answer = chunks(client, stream_options={"include_usage": True})
    assert text_of(answer) == WHOLE
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in answer}) == 1
    assert [chunk.choices[0].finish_reason for chunk in answer if chunk.choices][-1] == "stop"
    assert sum(chunk.choices[0].delta.role == "assistant" for chunk in answer if chunk.choices) == 1

    *_, begun = asked(paced.b)["messages"]
    assert begun["role"] == "assistant"
    assert WHOLE.startswith(begun["content"])
    assert 0 < len(begun["content"]) < len(WHOLE)

    row = row_of(story)
    assert [attempt["outcome"] for attempt in row.attempts][1] == "ok"
    first, second = (attempt["used"] for attempt in row.attempts)
    assert (first["input_tokens"], first["output_tokens"]) == (count_tokens(PROMPT), count_tokens(begun["content"]))
    assert second["output_tokens"] == paced.b.log.last.sent_tokens
    assert (first["usage_source"], second["usage_source"]) == ("counted", "reported")
    assert first["cost_nanos"] == 1_000 * first["input_tokens"] + 2_000 * first["output_tokens"]
    assert second["cost_nanos"] == 3_000 * second["input_tokens"] + 4_000 * second["output_tokens"]
    assert row.cost_nanos == first["cost_nanos"] + second["cost_nanos"]
    assert row.input_tokens == first["input_tokens"] + second["input_tokens"]
    assert row.output_tokens == first["output_tokens"] + second["output_tokens"]
    usage = answer[-1].usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (row.input_tokens, row.output_tokens)
    assert (row.status, row.billing_reason, row.finish_reason) == (200, "completed", "stop")
    assert row.target == f"{story.connections[1].slug}/{MODEL}"


def test_it_goes_on_twice(client, story, paced):
    paced.a.fail("reset-midstream")
    paced.b.fail("reset-midstream")
    assert text_of(chunks(client)) == WHOLE
    row = row_of(story)
    assert [attempt["outcome"] for attempt in row.attempts] == ["connection_lost", "connection_lost", "ok"]
    assert sum(attempt["used"]["cost_nanos"] for attempt in row.attempts) == row.cost_nanos
    assert sum(attempt["used"]["output_tokens"] for attempt in row.attempts) == row.output_tokens


def test_the_trace_shows_who_said_what(http, story, paced):
    paced.a.fail("reset-midstream")
    *_, last = raw(http)
    attempts = last["shareai"]["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["connection_lost", "ok"]
    assert all(attempt["usage"]["output_tokens"] > 0 for attempt in attempts)


def test_what_is_left_of_the_limit_goes_along(client, story, paced):
    paced.a.fail("reset-midstream")
    chunks(client, max_tokens=100)
    begun = asked(paced.b)["messages"][-1]["content"]
    assert asked(paced.b)["max_tokens"] == 100 - count_tokens(begun)


def test_an_answer_that_the_caller_began_goes_on_too(client, story, paced):
    paced.a.fail("reset-midstream")
    messages = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": "This is"}]
    assert "This is" + text_of(chunks(client, messages=messages)) == WHOLE
    _, begun = asked(paced.b)["messages"]
    assert begun["content"].startswith("This is a simulated")


ENDS = {
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "json": {"response_format": {"type": "json_object"}},
    "a tool prescribed": {
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
        "tool_choice": "required",
    },
}


@pytest.mark.parametrize("wishes", ENDS.values(), ids=ENDS)
def test_what_cannot_go_on_ends_with_an_error(client, tenant, paced, wishes):
    offer(tenant, paced, able=("prefill", "tools"))
    paced.a.fail("reset-midstream")
    with pytest.raises(APIError, match="broke off"):
        chunks(client, **wishes)
    assert not paced.b.log.posts
    row = row_of(tenant)
    assert (row.billing_reason, row.error_code) == ("interrupted_delivered", "upstream_interrupted")
    assert "used" not in row.attempts[0]


def test_a_call_of_a_tool_under_way_does_not_go_on(client, tenant, paced):
    offer(tenant, paced, able=("prefill", "tools"))
    paced.a.fail("reset-midstream")
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    with pytest.raises(APIError, match="broke off"):
        chunks(client, tools=tools, tool_choice="auto", messages=[{"role": "user", "content": "Call look, please."}])
    assert not paced.b.log.posts


@pytest.mark.parametrize("wishes", [{"able": ("tools",)}, {"continue_streams": False}], ids=["nobody can", "not set"])
def test_without_anybody_to_go_on_it_ends_with_an_error(client, tenant, paced, wishes):
    offer(tenant, paced, **wishes)
    paced.a.fail("reset-midstream")
    with pytest.raises(APIError, match="broke off"):
        chunks(client)
    assert not paced.b.log.posts


def test_when_the_next_ones_fail_it_ends_with_an_error_and_what_was_delivered_is_billed(client, story, paced):
    paced.a.fail("reset-midstream")
    paced.b.fail("500")
    paced.c.fail("400")
    with pytest.raises(APIError, match="broke off"):
        chunks(client)
    row = row_of(story)
    assert [attempt["outcome"] for attempt in row.attempts] == ["connection_lost", "server_error", "rejected_request"]
    assert (row.billing_reason, row.target) == ("interrupted_delivered", f"{story.connections[0].slug}/{MODEL}")
    assert row.cost_nanos == 1_000 * row.input_tokens + 2_000 * row.output_tokens
    assert row.input_tokens == count_tokens(PROMPT)


def give(tenant: Tenant, amount_usd: str) -> None:
    budget = {"amount_usd": amount_usd, "window": "monthly"}
    set_limits(tenant.org, tenant.actor, ORGANISATION, "", wishes={"budgets": [budget], "when_reached": "block"})


def is_charged(tenant: Tenant, row: Usage) -> bool:
    """What the budget lost is what the request cost, and nothing is held any more."""
    window = BudgetWindow.objects.select_related("account").get(org=tenant.org)
    return (window.allotted - window.account.balance, window.account.held) == (row.cost_nanos, 0)


def test_each_part_is_held_and_charged_within_the_budget(client, story, paced):
    give(story, "0.01")
    paced.a.fail("reset-midstream")
    paced.b.fail("reset-midstream")
    assert text_of(chunks(client, max_tokens=100)) == WHOLE
    row = row_of(story)
    assert sum(attempt["used"]["cost_nanos"] for attempt in row.attempts) == row.cost_nanos
    eventually(lambda: is_charged(story, row), 15)


def test_a_budget_that_does_not_cover_the_prompt_again_ends_it(client, story, paced):
    """$0.0006 cover the first call, of $0.0006 at most, and not another prompt beside it."""
    give(story, "0.0006")
    paced.a.fail("reset-midstream")
    with pytest.raises(APIError, match="broke off"):
        chunks(client, max_tokens=100)
    assert not paced.b.log.posts
    row = row_of(story)
    assert (row.billing_reason, len(row.attempts)) == ("interrupted_delivered", 1)
    eventually(lambda: is_charged(story, row), 15)


@pytest.mark.parametrize(("cause", "goes_on"), [("timeout", False), ("connection", True)])
def test_it_goes_on_where_its_rule_falls_back_to_after_such_a_failure(client, tenant, paced, cause, goes_on):
    offer(tenant, paced)
    a, b, _ = (f'"{connection.slug}/{MODEL}"' for connection in tenant.connections)
    sentence = f"use priority of {a} then on {cause} fall back to priority of {b}"
    content = {"targets": [{"target": a.strip('"')}], "continue_streams": True, "rules": [sentence]}
    put_route(tenant.org, tenant.actor, "ruled", content)
    paced.a.fail("reset-midstream")
    if goes_on:
        assert text_of(chunks(client, model="ruled")) == WHOLE
    else:
        with pytest.raises(APIError, match="broke off"):
            chunks(client, model="ruled")
        assert not paced.b.log.posts


@pytest.mark.parametrize("fault", ["truncated-json", "wrong-length"])
def test_an_answer_in_one_piece_is_asked_for_anew_and_billed_once(client, story, paced, fault):
    paced.a.fail(fault)
    answer = client.chat.completions.create(model=ROUTE, messages=[{"role": "user", "content": PROMPT}])
    assert "from B" in answer.choices[0].message.content
    assert asked(paced.b)["messages"][-1]["role"] == "user"
    row = row_of(story)
    assert [attempt["outcome"] == "ok" for attempt in row.attempts] == [False, True]
    assert not any("used" in attempt for attempt in row.attempts)
    assert row.cost_nanos == 3_000 * row.input_tokens + 4_000 * row.output_tokens
    assert (row.input_tokens, row.output_tokens) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)


def test_all_who_ask_the_same_hear_it_go_on_and_it_is_kept_whole(client, story, paced):
    put_policy(story.org, story.actor, scope="organization", ttl_s=60)
    paced.a.fail("reset-midstream")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: chunks(client), range(6)))
    assert {text_of(answer) for answer in answers} == {WHOLE}
    assert text_of(chunks(client)) == WHOLE
    assert len(paced.b.log.posts) <= 2, "at most one of each process"
    eventually(lambda: Usage.objects.filter(org_id=story.org.pk).count() == 7, 10)
    rows = list(Usage.objects.filter(org_id=story.org.pk))
    paid = [row for row in rows if row.cost_nanos]
    assert len(paid) == len(paced.b.log.posts)
    assert {row.billing_reason for row in rows if row not in paid} == {"cached"}


def test_a_key_that_makes_it_safe_to_ask_again_gives_the_whole_answer_again(http, story, paced):
    paced.a.fail("reset-midstream")
    body = {"model": ROUTE, "messages": [{"role": "user", "content": PROMPT}], "stream": True}
    ask = {"json": body, "headers": {"Idempotency-Key": "tell-me-once"}}
    first, again = (http.post("/v1/chat/completions", **ask) for _ in range(2))
    assert first.text == again.text
    assert len(paced.b.log.posts) == 1
    assert row_of(story).attempt_count == 2


def test_who_leaves_while_it_goes_on_pays_for_both_parts(http, story, paced):
    paced.a.fail("reset-midstream")
    paced.b.manners.token_interval_s = 0.2
    body = {"model": ROUTE, "messages": [{"role": "user", "content": PROMPT}], "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        heard = ""
        for line in answer.iter_lines():
            heard += said(line)
            if paced.b.log.posts and len(heard) > len(asked(paced.b)["messages"][-1]["content"]):
                break
    eventually(lambda: paced.b.log.last.client_left_at is not None, 5)
    row = row_of(story)
    assert row.billing_reason == "cancelled_delivered"
    assert [attempt["outcome"] for attempt in row.attempts] == ["connection_lost", "cancelled"]
    assert sum(attempt["used"]["cost_nanos"] for attempt in row.attempts) == row.cost_nanos
    assert row.attempts[1]["used"]["output_tokens"] < count_tokens(WHOLE)
