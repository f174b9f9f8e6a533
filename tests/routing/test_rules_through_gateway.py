"""Rules on a real gateway of two processes: by tag and header and key, by cause, private, and never from the cache of
another rule."""

from __future__ import annotations

import time

import httpx
import pytest

from routing.cache_services import set_route_ttl
from routing.services import put_route

ASKED = {"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}
RULES = [
    'when tag is "batch" use priority of "upstream-b/sim-chat"',
    'when header "x-team" is "red" use priority of "upstream-b/other" '
    'then on rate_limit fall back to priority of "upstream-a/other" '
    'then on server_error fall back to priority of "upstream-c/other"',
]


@pytest.fixture
def ask(gateway, tenant, upstreams):
    for upstream in upstreams:
        tenant.connect(upstream.base_url, ["sim-chat", "other"])
    wishes = {"targets": [{"target": "upstream-a/sim-chat"}], "rules": RULES}
    put_route(tenant.org, tenant.actor, "fast", wishes)

    def ask(metadata: dict | None = None, key: str = tenant.api_key, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {key}", "X-ShareAI-Metadata": "enabled"} | headers
        body = ASKED | ({"metadata": metadata} if metadata else {})
        return httpx.post(f"{gateway.base_url}/chat/completions", json=body, headers=sent)

    return ask


def answered_by(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-shareai-target"]


def test_the_first_rule_that_fits_decides_who_answers(ask, tenant):
    assert answered_by(ask()) == "upstream-a/sim-chat"
    assert answered_by(ask({"tags": "batch"})) == "upstream-b/sim-chat"
    assert answered_by(ask(**{"X-Team": "red"})) == "upstream-b/other"
    tagged = tenant.new_key(tags=["batch"])[1]
    ruled = ask(key=tagged)
    assert answered_by(ruled) == "upstream-b/sim-chat"
    assert ruled.json()["shareai"]["rule"] == 1


def test_it_falls_back_by_cause(ask, upstreams):
    upstreams.b.fail("500")
    assert answered_by(ask(**{"X-Team": "red"})) == "upstream-c/other"


def test_what_one_rule_kept_is_not_given_to_another(ask, tenant):
    set_route_ttl(tenant.org, tenant.actor, "fast", 60)
    deadline = time.monotonic() + 5
    while ask().headers.get("x-shareai-cache") != "HIT" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ask().headers["x-shareai-cache"] == "HIT"
    assert answered_by(ask({"tags": "batch"})) == "upstream-b/sim-chat"
