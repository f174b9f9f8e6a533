"""What is asked again byte for byte: when it is answered at once, and what sends it the whole way again."""

from __future__ import annotations

from time import monotonic, time

import httpx
import msgspec
import orjson
import pytest

from accounts.authentication import Caller
from metering.bounds import Limits
from metering.budgets import Budgets
from metering.usage import UsageRecord
from providers.adapters.base import TokenUsage
from providers.schema import CHAT, EMBEDDINGS, Call
from routing.asgi import GatewayRequest
from routing.cache import Cache
from routing.cache_entries import Entry
from routing.cache_keys import ANY, Wanted
from routing.cache_rules import CacheRule
from routing.canary_draw import CANARY
from routing.flights import Flight, Flights
from routing.plans import Plan
from routing.prompts import Fingerprint
from routing.repeats import MOST_BODY_BYTES, Repeats
from routing.replies import Reply
from routing.rules import Rule, Use, When
from routing.snapshots import Canary, OrgSnapshot, RouteRecord
from tests.routing import builders
from tests.routing.builders import CALLER

PAYLOAD = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
BODY = b'{"choices":[]}'
ROUTE = RouteRecord("m", "priority", ())
RULE = Rule(Use("priority", ()), When())
WANTED = Wanted(b"digest", 1, CacheRule(60), ANY)
PLAN = Plan("", "priority", (), ())
TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Known:
    """Snapshots of which there is one."""

    def __init__(self, snapshot: OrgSnapshot) -> None:
        self.snapshot = snapshot

    def get(self, org_id: int) -> OrgSnapshot:
        return self.snapshot


class Bench:
    def __init__(self, snapshot: OrgSnapshot, most: int = 4) -> None:
        self.known = Known(snapshot)
        self.records: list[UsageRecord] = []
        self.can_record = True
        self.cache = Cache(Flights())
        self.keep_entry()
        self.repeats = Repeats(
            self.known,  # type: ignore[arg-type]
            self.cache,
            self.records.append,
            monotonic,
            lambda: self.can_record,
            Fingerprint("s"),
            most,
        )

    def keep_entry(self, stored_at: float | None = None) -> None:
        usage = TokenUsage(3, 5, 0, "upstream")
        at = time() if stored_at is None else stored_at
        self.cache._memory.keep(WANTED.digest, Entry(False, BODY, at, "sim/m", "stop", usage, 700))

    def note(self, call: Call | None = None, caller: Caller = CALLER, plan: Plan = PLAN) -> None:
        self.repeats.note(call or asked(), caller, self.known.snapshot, plan, WANTED)

    def reply(self, payload: bytes = PAYLOAD, caller: Caller = CALLER, endpoint: str = CHAT) -> Reply | None:
        flight = Flight(None, None, monotonic())  # type: ignore[arg-type]
        headers = [(b"user-agent", b"curl"), (b"x-stainless-retry-count", b"1"), (b"traceparent", TRACEPARENT)]
        scope = {"method": "POST", "path": f"/v1/{endpoint}", "headers": headers}
        return self.repeats.reply(endpoint, GatewayRequest(scope, dict(headers), payload, flight, "req_2"), caller)


def asked(payload: bytes = PAYLOAD, **fields) -> Call:
    return msgspec.structs.replace(builders.call(), payload=payload, **fields)


@pytest.fixture
def bench() -> Bench:
    return Bench(builders.snapshot(builders.target("a")))


def test_it_is_answered_and_recorded_as_any_hit(bench):
    assert bench.reply() is None
    bench.note()
    reply = bench.reply()
    assert reply is not None
    assert reply.body == BODY
    assert dict(reply.headers)[b"x-shareai-cache"] == b"HIT"
    [record] = bench.records
    assert (record.request_id, record.sdk_retry, record.user_agent) == ("req_2", 1, "curl")
    assert record.metadata == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    assert (record.cache, record.billing_reason, record.cost_nanos, record.saved_nanos) == ("HIT", "cached", 0, 700)
    assert (record.input_tokens, record.output_tokens, record.model) == (3, 5, "m")
    assert record.prompt_hash == Fingerprint("s").of(1, builders.call().body)


def test_it_belongs_to_one_key_and_one_endpoint(bench):
    bench.note()
    assert bench.reply(caller=msgspec.structs.replace(CALLER, key_id=2)) is None
    assert bench.reply(endpoint=EMBEDDINGS) is None
    assert bench.reply(PAYLOAD + b" ") is None
    assert bench.reply() is not None


def test_a_new_snapshot_ends_it(bench):
    """Rights, routes, purges and policies are part of it."""
    bench.note()
    bench.known.snapshot = builders.snapshot(builders.target("a"))
    assert bench.reply() is None
    assert len(bench.repeats) == 0


def test_an_old_snapshot_is_not_held(bench):
    bench.note()
    bench.known.snapshot = builders.snapshot()
    [known] = bench.repeats._known.values()
    assert known.snapshot() is None


def test_an_answer_that_is_too_old_or_gone_ends_it(bench):
    bench.note()
    bench.keep_entry(stored_at=time() - 61)
    assert bench.reply() is None
    assert len(bench.repeats) == 0
    bench.note()
    bench.cache._memory.drop(WANTED.digest)
    assert bench.reply() is None


def test_nothing_is_answered_that_cannot_be_recorded(bench):
    bench.note()
    bench.can_record = False
    assert bench.reply() is None
    bench.can_record = True
    assert bench.reply() is not None


def test_the_oldest_make_room(bench):
    payloads = [b'{"model":"m","n":%d}' % n for n in range(5)]
    for payload in payloads[:4]:
        bench.note(asked(payload))
    assert bench.reply(payloads[0]) is not None  # so the second is the oldest now
    bench.note(asked(payloads[4]))
    assert [bench.reply(payload) is not None for payload in payloads] == [True, False, True, True, True]


@pytest.mark.parametrize(
    "call",
    [
        asked(b""),
        asked(b" " * (MOST_BODY_BYTES + 1)),
        asked(cache_control="max-age=60"),
        asked(wants_trace=True),
    ],
    ids=["unknown bytes", "long", "cache-control", "trace"],
)
def test_what_is_never_noted(bench, call):
    bench.note(call)
    assert len(bench.repeats) == 0


def test_nor_for_who_keeps_contents(bench):
    bench.note(caller=msgspec.structs.replace(CALLER, logs_content=True))
    assert len(bench.repeats) == 0


@pytest.mark.parametrize(
    "route",
    [
        msgspec.structs.replace(ROUTE, rules=(RULE,)),
        msgspec.structs.replace(ROUTE, canary=Canary(10, ROUTE)),
    ],
    ids=["rules", "canary"],
)
def test_nor_where_the_moment_decides(route):
    bench = Bench(builders.snapshot(builders.target("a"), routes=(route,)))
    bench.note()
    assert len(bench.repeats) == 0
    plain = Bench(builders.snapshot(builders.target("a"), routes=(ROUTE,)))
    plain.note(plan=msgspec.structs.replace(PLAN, variant={"version": CANARY}))
    assert len(plain.repeats) == 0
    plain.note()
    assert len(plain.repeats) == 1


@pytest.mark.parametrize("governed", ["limits", "budgets"])
def test_nor_where_something_is_counted(bench, governed):
    some = {"limits": Limits((), {}, {}, {}, {}, {}), "budgets": Budgets((), {}, {}, {}, {})}
    bench.known.snapshot = msgspec.structs.replace(bench.known.snapshot, **{governed: some[governed]})
    bench.note()
    assert len(bench.repeats) == 0


# -- through the gateway ---------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def hot(request, tenant, upstreams, http):
    """What is asked has been answered from memory, twice."""
    from routing.cache_services import put_policy

    tenant.connect(upstreams.a.base_url, ["sim-chat"])
    put_policy(tenant.org, tenant.actor, scope="organization", ttl_s=600)
    body = orjson.dumps(
        {"model": "sim-chat", "messages": [{"role": "user", "content": "hello"}], "stream": request.param}
    )
    until = time() + 10
    while state(http, body) != "HIT":
        assert time() < until
    assert state(http, body) == "HIT"
    return body


def post(http: httpx.Client, body: bytes, headers: dict[str, str] | None = None, path: str = "chat/completions"):
    return http.post(f"/v1/{path}", content=body, headers={"Content-Type": "application/json", **(headers or {})})


def state(http: httpx.Client, body: bytes, headers: dict[str, str] | None = None) -> str | None:
    answer = post(http, body, headers)
    assert answer.status_code == 200, answer.text
    return answer.headers.get("x-shareai-cache")


def comes_to(wanted, asks) -> None:
    until = time() + 10
    while (heard := asks()) != wanted:
        assert time() < until, heard


def test_headers_that_mean_something_are_obeyed(hot, http, upstreams):
    before = len(upstreams.a.log.posts)
    assert state(http, hot, {"Cache-Control": "no-cache"}) == "MISS"
    assert len(upstreams.a.log.posts) == before + 1
    traced = post(http, hot, {"X-ShareAI-Metadata": "enabled"})
    assert '"candidates"' in traced.text
    keyed = [post(http, hot, {"Idempotency-Key": "one"}) for _ in range(2)]
    assert keyed[0].headers["x-request-id"] == keyed[1].headers["x-request-id"]
    assert '"candidates"' not in post(http, hot).text


def test_the_same_bytes_mean_something_else_elsewhere(hot, http):
    assert post(http, hot, path="responses").status_code == 400
    assert post(http, hot, path="embeddings").status_code == 400


def test_a_long_one_is_answered_the_whole_way(hot, http):
    """Its bytes are neither hashed nor kept; the cache knows it all the same."""
    long = hot.replace(b"hello", b"hello " * (MOST_BODY_BYTES // 6))
    assert len(long) > MOST_BODY_BYTES
    assert [state(http, long) for _ in range(3)] == ["MISS", "HIT", "HIT"]


def test_every_repeat_is_on_the_bill_once(hot, http, tenant):
    from metering.models import Usage

    told = [post(http, hot).headers["x-request-id"] for _ in range(5)]
    rows = Usage.objects.filter(org_id=tenant.org.pk)
    comes_to(5, lambda: rows.filter(request_id__in=told).count())
    assert set(rows.filter(cache="HIT").values_list("billing_reason", "cost_nanos")) == {("cached", 0)}
    assert rows.values_list("prompt_hash").distinct().count() == 1


def test_a_purge_and_the_end_of_a_key_reach_it(hot, http, tenant):
    from accounts.keys import active_keys, revoke_key
    from routing.cache_services import purge

    purge(tenant.org, tenant.actor)
    comes_to("MISS", lambda: state(http, hot))
    assert state(http, hot) == "HIT"
    revoke_key(active_keys(tenant.org).get(), tenant.actor)
    comes_to(401, lambda: post(http, hot).status_code)


def test_what_an_answer_took_is_found_under_v1(hot, http):
    """Django answers it, beside the data plane, with the same key."""
    asked_for = post(http, hot).headers["x-request-id"]
    comes_to(200, lambda: http.get("/v1/generation", params={"id": asked_for}).status_code)
    told = http.get("/v1/generation", params={"id": asked_for}).json()["data"]
    assert (told["id"], told["total_cost"], told["billing_reason"]) == (asked_for, 0.0, "cached")
    assert http.get("/v1/usage").json()["total"]["cache_hits"] >= 1
    assert http.get("/v1/credits").json()["error"]["code"] == "permission_refused"
