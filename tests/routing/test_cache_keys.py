"""Which requests ask the same, what callers allow, and both forms of an answer. Pure."""

from __future__ import annotations

import msgspec
import orjson
import pytest

from providers.adapters.base import TokenUsage
from providers.schema import CHAT
from routing.cache_forms import events_of, whole_of
from routing.cache_keys import Freshness, freshness_of, wanted
from routing.cache_rules import CacheRule, CacheRules
from routing.legs import RouteTarget
from routing.plans import Plan
from routing.snapshots import RouteRecord
from tests.routing.builders import CALLER, call, snapshot, target

USAGE = TokenUsage(3, 4, 0, "reported")


def rules(**by_scope: dict[str, CacheRule]) -> CacheRules:
    return CacheRules({scope: dict(found) for scope, found in by_scope.items()})


EVERYTHING = rules(organization={"": CacheRule(60)})


def digest(asked, *, caller=CALLER, cache=EVERYTHING, route=""):
    known = msgspec.structs.replace(snapshot(target("a")), cache=cache)
    found = wanted(asked, caller, Plan(route, "priority", (), ()), known)
    return found and found.digest


def test_another_organisation_has_another_key():
    theirs = msgspec.structs.replace(CALLER, org_id=2)
    assert digest(call()) == digest(call()) != digest(call(), caller=theirs)


@pytest.mark.parametrize(
    "body", [{"temperature": 1}, {"messages": [{"role": "user", "content": "ho"}]}, {"n": 2}, {"max_tokens": 5}]
)
def test_what_means_something_makes_another_key(body):
    assert digest(call(**body)) != digest(call())


@pytest.mark.parametrize("body", [{"user": "u"}, {"metadata": {"a": "b"}}, {"stream": True}])
def test_what_means_nothing_does_not(body):
    assert digest(call(**body)) == digest(call())


def test_a_purge_makes_another_key():
    purged = msgspec.structs.replace(EVERYTHING, purges={"m": 1})
    assert digest(call(), cache=purged) != digest(call())
    assert digest(call(), cache=msgspec.structs.replace(EVERYTHING, purges={"other": 1})) == digest(call())


def test_a_prompt_that_is_too_large_is_not_looked_for():
    assert digest(msgspec.structs.replace(call(), prompt_bytes=2 << 20)) is None


@pytest.mark.parametrize(
    ("cache", "ttl_s"),
    [
        (rules(), None),
        (rules(organization={"": CacheRule(1)}), 1),
        (rules(organization={"": CacheRule(1)}, model={"m": CacheRule(2)}), 2),
        (rules(model={"m": CacheRule(2)}, route={"r": CacheRule(3)}), 3),
        (rules(route={"r": CacheRule(3)}, key={"k" * 12: CacheRule(4)}), 4),
        (rules(organization={"": CacheRule(1)}, route={"r": CacheRule(0)}), None),
        (rules(model={"n": CacheRule(2)}), None),
    ],
)
def test_the_narrowest_rule_counts(cache, ttl_s):
    found = cache.find("r", "m", "k" * 12)
    assert (found and found.ttl_s) == ttl_s


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("", Freshness()),
        ("no-store", Freshness(False, False)),
        ("No-Cache", Freshness(False)),
        ("max-age=0", Freshness(False)),
        ("max-age=60", Freshness(max_age_s=60)),
        ('max-age="60", private', Freshness(max_age_s=60)),
        ("max-age=60, no-cache", Freshness(False)),
        ("no-cache, max-age=60", Freshness(False)),
        ("max-age=-1", Freshness()),
        ("max-age=soon, only-if-cached", Freshness()),
        ("max-age=" + "9" * 5000, Freshness(max_age_s=9_999_999_999)),
    ],
)
def test_cache_control(said, meant):
    assert freshness_of(said) == meant


CALLED = [
    {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "UTC"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "then", "arguments": "{}"}},
]
WHOLE = {
    "id": "chatcmpl-1",
    "created": 1,
    "model": "m",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "สวัสดี\u2028there", "reasoning_content": "hm"},
            "logprobs": {"content": [{"token": "a", "logprob": -1.0}]},
            "finish_reason": "stop",
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": None, "tool_calls": CALLED},
            "logprobs": None,
            "finish_reason": "tool_calls",
        },
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}


def test_a_whole_answer_comes_through_both_forms_as_it_was():
    events = events_of(CHAT, orjson.dumps(WHOLE))
    assert all(event.startswith(b"data: {") for event in events.split(b"\n\n")[:-1])
    assert orjson.loads(whole_of(CHAT, events, USAGE)) == WHOLE


def test_pieces_are_put_together():
    def event(delta: dict, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return b"data: " + orjson.dumps({"id": "x", "model": "m", "choices": [choice]}) + b"\n\n"

    function = [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "now", "arguments": ""}}]
    events = b": a comment\n\n" + event({"role": "assistant", "content": "a"}) + event({"content": "b"})
    events += event({"tool_calls": function})
    events += event({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]})
    events += event({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}) + event({}, "tool_calls")
    [choice] = orjson.loads(whole_of(CHAT, events, USAGE))["choices"]
    assert choice["message"]["content"] == "ab"
    [called] = choice["message"]["tool_calls"]
    assert (called["id"], called["function"]) == ("call_1", {"name": "now", "arguments": '{"a":1}'})
    assert choice["finish_reason"] == "tool_calls"


HOME = RouteRecord("home", "priority", (RouteTarget("m"),), private=True)


@pytest.mark.parametrize(
    "asked",
    [
        call(store=False),
        call(provider={"data_collection": "deny"}),
        call("m:private"),
        call("home"),
        call(models=["m", "home"]),
    ],
    ids=["not to be stored", "no collection", "private", "a private route", "a private route besides"],
)
def test_what_is_to_be_forgotten_is_neither_kept_nor_answered_from_memory(asked):
    """Whatever policy covers it."""
    known = msgspec.structs.replace(snapshot(target("a"), routes=(HOME,)), cache=EVERYTHING)
    assert wanted(asked, CALLER, Plan("", "priority", (), ()), known) is None


@pytest.mark.parametrize("body", [{"store": True}, {"provider": {"data_collection": "allow"}}])
def test_who_says_that_it_may_be_kept_is_heard(body):
    assert digest(call(**body)) is not None
