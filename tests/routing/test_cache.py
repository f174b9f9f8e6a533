"""Answers given again: what is a hit, what never is, and that it costs nothing. Through real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import orjson
import pytest

from metering.models import Usage
from routing.cache_services import purge, put_policy
from tests.stack import GatewayProcess, Tenant, allow_of, make_tenant

MODEL = "sim-chat"
HELLO = [{"role": "user", "content": "hello there"}]
PRICED = {"id": MODEL, "input_price": "1", "output_price": "2"}


@pytest.fixture(scope="module")
def gateway(django_db_setup, django_db_blocker, upstream_servers, tmp_path_factory) -> Iterator[GatewayProcess]:
    """One process, so that its own memory is what answers."""
    with django_db_blocker.unblock():
        folder = tmp_path_factory.mktemp("cache")
        process = GatewayProcess(folder, egress_allow=allow_of(upstream_servers))
        process.start()
        yield process
        process.stop()


@pytest.fixture
def served(tenant: Tenant, upstreams) -> Tenant:
    tenant.connect(upstreams.a.base_url, [PRICED, {"id": "sim-embed", "kind": "embedding"}])
    return tenant


@pytest.fixture
def kept(served: Tenant) -> Tenant:
    put_policy(served.org, served.actor, scope="organization", ttl_s=600)
    return served


def ask(http: httpx.Client, headers: dict[str, str] | None = None, path: str = "chat/completions", **fields):
    body = {"model": MODEL, "messages": HELLO} | fields
    return http.post(f"/v1/{path}", json={k: v for k, v in body.items() if v is not None}, headers=headers)


def found(response: httpx.Response) -> str | None:
    assert response.status_code == 200, response.text
    return response.headers.get("x-shareai-cache")


def events(response: httpx.Response) -> list[dict]:
    *chunks, last = [event.removeprefix("data: ") for event in response.text.split("\n\n") if event]
    assert last == "[DONE]"
    return [orjson.loads(chunk) for chunk in chunks]


def text_of(response: httpx.Response) -> str:
    if not response.headers["content-type"].startswith("text/event-stream"):
        return response.json()["choices"][0]["message"]["content"]
    choices = [choice for event in events(response) for choice in event["choices"]]
    assert choices[-1]["finish_reason"] == "stop"
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def rows_of(tenant: Tenant, count: int) -> list[Usage]:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        rows = list(Usage.objects.filter(org_id=tenant.org.pk).order_by("request_id"))
        if len(rows) >= count:
            return rows
        time.sleep(0.05)
    raise AssertionError("not recorded")


def test_nothing_is_kept_without_a_policy(served, http, upstreams):
    assert [found(ask(http)) for _ in range(2)] == [None, None]
    assert len(upstreams.a.log.posts) == 2


@pytest.mark.parametrize("second", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("first", [False, True], ids=["whole", "stream"])
def test_the_second_is_a_hit_without_a_call(kept, http, upstreams, first, second):
    """Whatever form the first had."""
    miss, hit = ask(http, stream=first), ask(http, stream=second)
    assert (found(miss), found(hit)) == ("MISS", "HIT")
    assert text_of(miss) == text_of(hit)
    assert "hello there" in text_of(hit)
    assert int(hit.headers["x-shareai-cache-age"]) < 60
    assert (hit.headers["x-shareai-attempts"], hit.headers["x-shareai-cost"]) == ("0", "0.000000000")
    assert len(upstreams.a.log.posts) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_hit_costs_nothing_and_says_what_it_saves(kept, http, upstreams, stream):
    for _ in range(2):
        ask(http, stream=stream)
    miss, hit = rows_of(kept, 2)
    assert (miss.cache, miss.billing_reason, miss.saved_nanos) == ("MISS", "completed", 0)
    assert miss.cost_nanos > 0
    assert (hit.cache, hit.billing_reason, hit.cost_nanos, hit.attempt_count) == ("HIT", "cached", 0, 0)
    assert (hit.saved_nanos, hit.output_tokens) == (miss.cost_nanos, miss.output_tokens)
    assert (hit.attempts, hit.target) == ([], "")


def test_what_is_not_to_be_stored_is_asked_for_each_time(kept, http, upstreams):
    """Not even by what somebody else was answered: nothing of it is looked for."""
    assert [found(ask(http, store=store)) for store in (None, False, False)] == ["MISS", None, None]
    assert len(upstreams.a.log.posts) == 3


def test_order_and_what_means_nothing_do_not_matter(kept, http, upstreams):
    ask(http, temperature=0, seed=7)
    reordered = {
        "seed": 7,
        "temperature": 0,
        "messages": [{"content": "hello there", "role": "user"}],
        "model": MODEL,
    }
    same = http.post("/v1/chat/completions", json=reordered)
    assert found(same) == "HIT"
    assert found(ask(http, temperature=0, seed=7, user="somebody", metadata={"a": "b"})) == "HIT"
    assert found(ask(http, temperature=0, seed=8)) == "MISS"
    assert len(upstreams.a.log.posts) == 2


def test_usage_is_told_to_who_asks_for_it(kept, http):
    told = [ask(http, stream=True, stream_options={"include_usage": asked}) for asked in (False, True, False, True)]
    usages = [[event["usage"] for event in events(answer) if event.get("usage")] for answer in told]
    assert [len(usage) for usage in usages] == [0, 1, 0, 1]
    assert usages[1][0]["completion_tokens"] > 10
    assert usages[1] == usages[3]


def test_the_trace_is_told_to_who_asks_for_it(kept, http):
    traced = {"X-ShareAI-Metadata": "enabled"}
    for stream in (False, True):
        for headers in ({}, traced, {}):
            answer = ask(http, headers, stream=stream)
            assert ('"shareai"' in answer.text) == bool(headers)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("completions", {"prompt": "hello there", "messages": None}),
        ("embeddings", {"model": "sim-embed", "input": "a"}),
    ],
)
def test_other_endpoints(kept, http, upstreams, path, fields):
    fields = {"messages": None, **fields}
    answers = [ask(http, path=path, **fields) for _ in range(2)]
    assert [found(answer) for answer in answers] == ["MISS", "HIT"]
    assert answers[0].json() == answers[1].json()
    assert len(upstreams.a.log.posts) == 1


def test_a_completion_is_replayed_as_a_stream(kept, http):
    whole = ask(http, path="completions", prompt="hello there", messages=None).json()["choices"][0]["text"]
    stream = ask(http, path="completions", prompt="hello there", messages=None, stream=True)
    assert found(stream) == "HIT"
    assert "".join(choice["text"] for event in events(stream) for choice in event["choices"]) == whole


def test_another_organisation_misses(kept, http, gateway, upstreams):
    ask(http)
    rival = make_tenant("Rival")
    rival.connect(upstreams.a.base_url, [PRICED])
    put_policy(rival.org, rival.actor, scope="organization", ttl_s=600)
    with httpx.Client(base_url=gateway.url, headers={"Authorization": f"Bearer {rival.api_key}"}) as theirs:
        assert [found(ask(theirs)) for _ in range(2)] == ["MISS", "HIT"]
    assert len(upstreams.a.log.posts) == 2


def test_keys_share_unless_the_policy_says_otherwise(served, gateway, http, upstreams):
    _, other_plain = served.new_key()
    other = {"Authorization": f"Bearer {other_plain}"}
    put_policy(served.org, served.actor, scope="organization", ttl_s=600)
    until(lambda: found(ask(http)) == "HIT")
    assert found(ask(http, other)) == "HIT"
    put_policy(served.org, served.actor, scope="organization", ttl_s=600, per_key=True)
    until(lambda: found(ask(http)) == "MISS")
    assert found(ask(http)) == "HIT"
    assert [found(ask(http, other)) for _ in range(2)] == ["MISS", "HIT"]


def test_the_narrowest_policy_counts(kept, http, upstreams):
    put_policy(kept.org, kept.actor, scope="model", subject=MODEL, ttl_s=0)
    assert [found(ask(http)) for _ in range(2)] == [None, None]
    put_policy(kept.org, kept.actor, scope="key", subject=kept.api_key.removeprefix("sk-sai-")[:12], ttl_s=60)
    until(lambda: found(ask(http)) == "HIT")


@pytest.mark.parametrize("said", ["no-store", "no-cache", "max-age=0"])
def test_a_caller_may_want_it_anew(kept, http, upstreams, said):
    ask(http)
    assert found(ask(http, {"Cache-Control": said})) == "MISS"
    assert found(ask(http)) == "HIT"
    assert len(upstreams.a.log.posts) == 2


def test_what_must_not_be_stored_is_not(kept, http):
    assert [found(ask(http, {"Cache-Control": "no-store"})) for _ in range(2)] == ["MISS", "MISS"]
    assert [found(ask(http)) for _ in range(2)] == ["MISS", "HIT"]


def test_results_of_tools_are_never_answered_from_memory(kept, http, upstreams):
    called = [{"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}]
    messages = [*HELLO, {"role": "assistant", "tool_calls": called}]
    messages += [{"role": "tool", "tool_call_id": "call_1", "content": "12:00"}]
    assert [found(ask(http, messages=messages)) for _ in range(2)] == [None, None]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", ["500", "reset", "200-error-json", "400"])
def test_no_failure_is_kept(kept, http, upstreams, fault, stream):
    upstreams.a.fail(fault)
    failed = ask(http, stream=stream)
    assert failed.status_code >= 400
    upstreams.a.heal()
    assert [found(ask(http, stream=stream)) for _ in range(2)] == ["MISS", "HIT"]


@pytest.mark.parametrize("fault", ["reset-midstream", "error-event-midway"])
def test_what_broke_off_is_not_kept(kept, http, upstreams, fault):
    upstreams.a.fail(fault)
    assert '"error"' in ask(http, stream=True).text
    upstreams.a.heal()
    assert found(ask(http, stream=True)) == "MISS"


def test_an_answer_gets_too_old(served, http):
    put_policy(served.org, served.actor, scope="organization", ttl_s=1)
    until(lambda: found(ask(http)) == "HIT")
    until(lambda: found(ask(http)) == "MISS")


@pytest.mark.parametrize("name", ["", MODEL])
def test_a_purge_leaves_nothing(kept, http, name):
    assert [found(ask(http)) for _ in range(2)] == ["MISS", "HIT"]
    purge(kept.org, kept.actor, name)
    until(lambda: found(ask(http)) == "MISS")
    assert found(ask(http)) == "HIT"


def test_a_purge_of_another_name_leaves_it(kept, http):
    assert [found(ask(http)) for _ in range(2)] == ["MISS", "HIT"]
    before = kept.org.version
    purge(kept.org, kept.actor, "other")
    kept.org.refresh_from_db()
    assert kept.org.version > before
    put_policy(kept.org, kept.actor, scope="model", subject=MODEL, ttl_s=60)
    assert found(ask(http)) == "HIT"


def until(holds, within_s: float = 15.0) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
