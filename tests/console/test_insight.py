"""High-impact prompts and compared targets: what is found, what is suggested, and what one click does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import AuditEvent
from console import insight
from metering import findings
from metering.comparison import compare_targets
from metering.partitions import ensure_partitions
from metering.prompts import Time, best_ttl, predict, times_of, top_prompts
from metering.tasks import find
from metering.usage import AttemptRecord
from routing.cache_services import put_policy
from routing.drafts import save_draft
from routing.models import CachePolicy, RouteDraft
from routing.services import put_route
from routing.versions import content_of
from tests.console.api.conftest import manager_of
from tests.console.pages.conftest import answered, as_browser, connect, record  # noqa: F401  a fixture

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)


@pytest.fixture(autouse=True)
def months(db) -> None:
    ensure_partitions()


def times(*minutes: float, cost: int = 10) -> list[Time]:
    return [Time(NOW + timedelta(minutes=each), cost, False) for each in minutes]


def window():
    return timezone.now() - timedelta(hours=1), timezone.now() + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("at", "hits"),
    [((0, 5, 9), 2), ((0, 11), 0), ((0, 9, 18, 21), 2), ((), 0)],
    ids=["all within", "too late", "kept from when it was made", "never"],
)
def test_a_prediction_replays_what_came(at, hits):
    told = predict(times(*at), 600)
    assert (told.hits, told.saving_nanos) == (hits, 10 * hits)


def test_what_was_a_hit_already_is_no_gain():
    first, second = times(0, 1)
    assert predict([first, Time(second.at, 0, True)], 600).hits == 0


def test_the_shortest_time_that_brings_most_is_suggested():
    assert best_ttl(times(0, 1, 2, 3, 4, 300), (600, 86_400)).ttl_s == 600
    assert best_ttl(times(0, 300, 600), (600, 86_400)).ttl_s == 86_400
    assert best_ttl(times(0), (600, 86_400)) is None


def test_prompts_are_ranked_by_cost_and_by_repeats(acme, rival):
    for seconds in (30, 20, 10):
        record(acme, None, seconds, prompt_hash=7, cost_nanos=100, route="fast")
    record(acme, None, 5, prompt_hash=-8, cost_nanos=900)
    record(acme, None, 4, prompt_hash=9, cost_nanos=5000, status=500)
    record(acme, None, 3, cost_nanos=5000)
    record(rival, None, 3, prompt_hash=7, cost_nanos=5000)
    top = top_prompts(acme, *window())
    by_cost = top["cost"]
    assert [(each.hash, each.requests, each.cost_nanos) for each in by_cost] == [(-8, 1, 900), (7, 3, 300)]
    assert [each.hash for each in top["repeats"]] == [7]
    assert len(by_cost[0].name) == len(by_cost[1].name) == 16
    assert [len(each) for each in times_of(acme, [7, -8], *window()).values()] == [1, 3]


def attempt(target: str, outcome: str = "ok", ttft_ms: int = 100, duration_ms: int = 1100) -> AttemptRecord:
    return AttemptRecord(target, 1, "c", outcome, 200, 0, duration_ms, ttft_ms if outcome == "ok" else None)


def test_each_try_counts_for_the_target_that_was_tried(acme):
    for ttft_ms in (100, 200, 300):
        tries = [attempt("a/m", "server_error"), attempt("b/m", ttft_ms=ttft_ms, duration_ms=ttft_ms + 1000)]
        record(acme, None, 10, attempts=tries, stream=True, output_tokens=50)
    record(acme, None, 9, attempts=[attempt("a/m", "rejected_request")], status=400)
    a, b = compare_targets(acme, *window())
    assert (a.target, a.attempts, a.failures, a.failure_rate, a.ttft_p50_ms) == ("a/m", 3, 3, 1.0, None)
    assert (b.attempts, b.failures, b.ttft_p50_ms, b.ttft_p95_ms, b.tokens_per_s) == (3, 0, 200, 290, 50)


@pytest.fixture
def two(acme, as_alice) -> None:
    """Aurora at half the price of Borealis, both well known; Borealis does the work."""
    connect(acme, as_alice, "Aurora", [("demo-chat", "chat")])
    connect(acme, as_alice, "Borealis", [("demo-chat", "chat")])
    from providers.models import ServedModel

    dearer = {"input_price": "2", "output_price": "6", "price_version": F("price_version") + 1}
    ServedModel.objects.filter(connection__slug="borealis").update(**dearer)
    for _ in range(insight.ENOUGH_ATTEMPTS + 1):
        record(acme, None, 10, attempts=[attempt("borealis/demo-chat")])
    for _ in range(insight.ENOUGH_ATTEMPTS):
        record(acme, None, 10, attempts=[attempt("aurora/demo-chat")])


def the_suggestion(acme) -> insight.Suggestion | None:
    found = insight.look(acme, timezone.now(), "24h").findings
    return next(row for row in insight.model_rows(acme, found) if row.model == "demo-chat").suggestion


def test_a_clearly_cheaper_target_goes_first(acme, two):
    found = the_suggestion(acme)
    assert (found.reason, found.tiers) == ("cheaper", (("aurora/demo-chat",), ("borealis/demo-chat",)))


def test_a_failing_target_goes_last(acme, two):
    for _ in range(10):
        record(acme, None, 10, attempts=[attempt("aurora/demo-chat", "server_error"), answered("borealis/demo-chat")])
    found = the_suggestion(acme)
    assert (found.reason, found.tiers) == ("failing", (("borealis/demo-chat",), ("aurora/demo-chat",)))


def test_too_few_attempts_suggest_nothing(acme, as_alice):
    connect(acme, as_alice, "Aurora", [("demo-chat", "chat")])
    connect(acme, as_alice, "Borealis", [("demo-chat", "chat")])
    record(acme, None, 1, attempts=[attempt("aurora/demo-chat", "server_error"), attempt("borealis/demo-chat")])
    assert the_suggestion(acme) is None


def test_one_click_makes_the_policy_and_the_suggestion_is_gone(as_browser, alice, acme, as_alice, two):  # noqa: F811
    put_route(acme, as_alice, "fast", {"targets": [{"target": "aurora/demo-chat"}]})
    for seconds in (20, 10):
        record(acme, None, seconds, prompt_hash=7, cost_nanos=100, route="fast")
    browser = as_browser(alice)
    assert "Keep answers" in browser.get(reverse("activity-insight")).content.decode()
    wanted = {"scope": "route", "subject": "fast", "ttl_s": "600"}
    assert browser.post(reverse("activity-insight-cache"), wanted).url == reverse("cache")
    policy = CachePolicy.objects.of(acme).get()
    assert (policy.scope, policy.subject, policy.ttl_s) == ("route", "fast", 600)
    assert AuditEvent.objects.of(acme).filter(action="cache_policy.created").exists()
    shown = browser.get(reverse("activity-insight")).content.decode()
    assert "kept already" in shown
    assert "Keep answers" not in shown


def test_what_is_private_is_not_offered_to_be_kept(as_browser, alice, acme, as_alice, two):  # noqa: F811
    put_route(acme, as_alice, "home", {"targets": [{"target": "aurora/demo-chat"}], "private": True})
    for seconds in (20, 10):
        record(acme, None, seconds, prompt_hash=7, cost_nanos=100, model="home", route="home")
        record(acme, None, seconds, prompt_hash=8, cost_nanos=100, model="demo-chat:private")
    put_policy(acme, as_alice, scope="organization", ttl_s=600)
    shown = as_browser(alice).get(reverse("activity-insight")).content.decode()
    assert shown.count("private: never kept") == 2
    assert "Keep answers" not in shown
    rows = manager_of(acme, alice).get("insight/prompts").json()["data"]
    assert [(row["covered"], row["suggestion"]) for row in rows] == [(False, None)] * 2


def test_nonsense_makes_no_policy(as_browser, alice, acme):  # noqa: F811
    browser = as_browser(alice)
    for wanted in ({}, {"scope": "route", "subject": "none", "ttl_s": "600"}, {"scope": "model", "ttl_s": "-1"}):
        browser.post(reverse("activity-insight-cache"), wanted)
    assert not CachePolicy.objects.of(acme).exists()


def test_one_click_drafts_the_route(as_browser, alice, acme, two):  # noqa: F811
    done = as_browser(alice).post(reverse("activity-insight-draft"), {"model": "demo-chat", "window": "24h"})
    assert done.url == reverse("routes-show", args=["demo-chat"])
    draft = RouteDraft.objects.of(acme).get()
    legs = [(leg["target"], leg["tier"]) for leg in draft.content["targets"]]
    assert legs == [("aurora/demo-chat", 0), ("borealis/demo-chat", 1)]
    again = as_browser(alice).post(reverse("activity-insight-draft"), {"model": "no-such-model"})
    assert again.url.startswith(reverse("activity-insight"))


RULE = 'when prompt is over 9000 tokens use priority of "borealis/demo-chat"'


def test_a_draft_changes_the_order_of_a_live_route_and_nothing_else(as_browser, alice, acme, as_alice, two):  # noqa: F811
    connect(acme, as_alice, "Cirrus", [("other-chat", "chat")])
    legs = [
        {"target": "borealis/demo-chat", "weight": 3},
        {"target": "other-chat", "weight": 2, "tier": 2},
    ]
    bounds = {"timeouts": {"first_byte_s": 9}, "spill_over": {"queue_above": 2}, "continue_streams": True}
    hedge = {"after_ms": 2000, "most_percent": 5, "most_extra_usd": "0.01"}
    live = {"strategy": "weighted", "targets": legs, "rules": [RULE], "hedge": hedge, **bounds}
    before = content_of(put_route(acme, as_alice, "demo-chat", live))
    as_browser(alice).post(reverse("activity-insight-draft"), {"model": "demo-chat", "window": "24h"})
    drafted = RouteDraft.objects.of(acme).get().content
    assert {name for name in drafted if drafted[name] != before[name]} == {"strategy", "targets"}
    assert [(leg["target"], leg["weight"], leg["tier"]) for leg in drafted["targets"]] == [
        ("aurora/demo-chat", 1, 0),
        ("borealis/demo-chat", 3, 1),
        ("other-chat", 2, 4),
    ]


def test_somebodys_draft_is_not_overwritten(as_browser, alice, acme, as_alice, two):  # noqa: F811
    browser, asked = as_browser(alice), (reverse("activity-insight-draft"), {"model": "demo-chat", "window": "24h"})
    assert [browser.post(*asked).url for _ in range(2)] == [reverse("routes-show", args=["demo-chat"])] * 2
    mine = {"targets": [{"target": "borealis/demo-chat"}], "timeouts": {"first_byte_s": 3}}
    kept = save_draft(acme, as_alice, "demo-chat", mine).content
    answer = browser.post(*asked, follow=True)
    assert "There is a draft of “demo-chat” already" in answer.content.decode()
    assert RouteDraft.objects.of(acme).get().content == kept


def test_a_viewer_looks_and_does_not_act(as_browser, carol, acme, two):  # noqa: F811
    browser = as_browser(carol)
    assert "Draft this route" not in browser.get(reverse("activity-insight")).content.decode()
    for name in ("activity-insight-cache", "activity-insight-draft"):
        assert browser.post(reverse(name), {"model": "demo-chat"}).status_code == 403


def test_the_api_tells_the_same(acme, alice, as_alice, two):
    for seconds in (20, 10):
        record(acme, None, seconds, prompt_hash=-7, cost_nanos=1000, model="demo-chat:floor")
    api = manager_of(acme, alice)
    [prompt] = api.get("insight/prompts", by="repeats").json()["data"]
    assert (prompt["prompt"], prompt["requests"], prompt["cost_usd"]) == ("fffffffffffffff9", 2, "0.000002")
    assert prompt["suggestion"] == {
        "scope": "model",
        "subject": "demo-chat",
        "ttl_s": 600,
        "hits": 1,
        "saving_usd": "0.000001",
    }
    put_policy(acme, as_alice, scope="model", subject="demo-chat", ttl_s=60)
    [prompt] = api.get("insight/prompts", by="repeats").json()["data"]
    assert (prompt["covered"], prompt["suggestion"]) == (True, None)
    [model] = api.get("insight/targets").json()["data"]
    assert (model["model"], model["suggestion"]["reason"]) == ("demo-chat", "cheaper")
    assert [each["input_usd"] for each in model["targets"]] == [0.5, 2.0]


@pytest.fixture
def many(acme, two, monkeypatch) -> None:
    """More requests than are read while somebody waits."""
    for seconds in (30, 20, 10):
        record(acme, None, seconds, prompt_hash=7, cost_nanos=100)
    monkeypatch.setattr(findings, "AT_ONCE", 2)


@pytest.fixture
def sent(monkeypatch) -> list[tuple[int, str]]:
    """What workers were sent for, none of which works."""
    sent: list[tuple[int, str]] = []
    monkeypatch.setattr("metering.tasks.find.delay", lambda *about: sent.append(about))
    return sent


def test_many_requests_are_left_to_a_worker_and_shown_with_their_time(as_browser, alice, acme, many, sent):  # noqa: F811
    browser = as_browser(alice)
    first = browser.get(reverse("activity-insight")).content.decode()
    assert "Looking through your requests" in first
    assert 'hx-trigger="every 3s"' in first
    browser.get(reverse("activity-insight"))
    assert sent == [(acme.pk, "7d")]
    find(*sent[0])
    shown = browser.get(reverse("activity-insight")).content.decode()
    assert f"{7:016x}" in shown
    assert "ask it first" in shown
    assert "Found" in shown
    assert "every 3s" not in shown


def test_what_a_worker_finds_is_what_is_found_at_once(acme, many, sent):
    now = timezone.now()
    insight.look(acme, now, "24h")
    find(*sent[0])
    found = findings.look(acme, "24h", now)
    assert found.findings == findings.find(acme, "24h", now)
    assert not found.is_due


def test_old_findings_are_shown_while_a_worker_looks_anew(acme, many, sent):
    now = timezone.now()
    insight.look(acme, now, "24h")
    find(*sent.pop())
    later = now + findings.FRESH + timedelta(minutes=1)
    seen = insight.look(acme, later, "24h")
    assert seen.is_due
    assert seen.findings.by_cost
    assert insight.look(acme, later, "24h").is_under_way
    assert sent == [(acme.pk, "24h")]
    insight.look(acme, later + findings.GIVEN_UP + timedelta(seconds=1), "24h")
    assert len(sent) == 2


def test_without_redis_the_next_who_looks_tries_again(acme, many, monkeypatch):
    def away(*about: object) -> None:
        raise OperationalError

    monkeypatch.setattr("metering.tasks.find.delay", away)
    now = timezone.now()
    assert insight.look(acme, now, "7d").is_due
    assert insight.look(acme, now, "7d").is_due


def test_the_api_tells_when_it_was_found(acme, alice, many, sent):
    api = manager_of(acme, alice)
    said = api.get("insight/prompts").json()
    assert (said["data"], said["found_at"], said["under_way"]) == ([], None, True)
    find(*sent[0])
    said = api.get("insight/prompts").json()
    assert said["found_at"] is not None
    assert [prompt["requests"] for prompt in said["data"]] == [3]
