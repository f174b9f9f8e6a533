"""`/metrics` of a gateway of two processes."""

from __future__ import annotations

import time

import httpx
from prometheus_client.parser import text_string_to_metric_families

from routing.monitoring import POST_EVERY_S
from tests.routing.conftest import METRICS_TOKEN, Upstreams
from tests.routing.test_outages import eventually

MODEL = "sim-chat"
ASKED = {"endpoint": "chat/completions", "status": "200", "cache": "off"}


def told(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def told_at_rest(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Once what the tests before have asked for is told too: a process says every few seconds what it has counted."""
    figures = told(url)
    for _ in range(10):
        time.sleep(POST_EVERY_S + 1)
        before, figures = figures, told(url)
        if counts_of(before) == counts_of(figures):
            return figures
    raise AssertionError("somebody goes on asking")


def counts_of(figures: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> dict[object, float]:
    return {figure: value for figure, value in figures.items() if figure[0].endswith("_total")}


def test_requests_of_both_processes_are_counted_once_whoever_is_asked(gateway, client, tenant, upstreams: Upstreams):
    tenant.connect(upstreams.a.base_url, [MODEL], priority=10)
    tenant.connect(upstreams.b.base_url, [MODEL], priority=20)
    upstreams.a.fail("500")
    answered = ("shareai_requests_total", frozenset(ASKED.items()))
    rescued = ("shareai_rescued_requests_total", frozenset())
    before = told_at_rest(gateway.url)
    for _ in range(8):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])

    def risen(figure: tuple[str, frozenset[tuple[str, str]]]) -> float:
        return told(gateway.url).get(figure, 0) - before.get(figure, 0)

    eventually(lambda: risen(answered) == 8, 20)
    assert 1 <= risen(rescued) <= 8  # until its breaker opens the one that fails is tried first
    after = told(gateway.url)
    assert len([labels for name, labels in after if name == "shareai_requests_in_flight"]) == 2
    duration = frozenset({"endpoint": ASKED["endpoint"], "le": "+Inf"}.items())
    assert after["shareai_request_duration_seconds_bucket", duration] >= 8
    upstreams.a.heal()


def test_only_whoever_has_the_token_reads_it(gateway, tenant):
    for headers, status in (({}, 401), ({"Authorization": f"Bearer {tenant.api_key}"}, 401)):
        answer = httpx.get(f"{gateway.url}/metrics", headers=headers)
        assert answer.status_code == status
        assert "shareai_requests" not in answer.text


def test_without_a_token_there_is_nothing(impatient):
    answer = httpx.get(f"{impatient.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
