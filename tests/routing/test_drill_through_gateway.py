"""A drill on a real gateway of two processes: the next target answers, the trace says why, and it ends by itself."""

from __future__ import annotations

import time

import httpx

from routing.drills import start_drill
from tests.routing.hearing import let_all_hear

LASTS_S = 5
ASKED = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hello"}]}


def test_the_next_target_answers_until_the_drill_ends_by_itself(gateway, tenant, upstreams):
    for upstream in (upstreams.a, upstreams.b):
        tenant.connect(upstream.base_url, ["sim-chat"])
    headers = {"Authorization": f"Bearer {tenant.api_key}", "X-ShareAI-Metadata": "enabled"}

    def ask() -> httpx.Response:
        return httpx.post(f"{gateway.base_url}/chat/completions", json=ASKED, headers=headers)

    assert {ask().headers["x-shareai-target"] for _ in range(8)} == {"upstream-a/sim-chat"}
    drill = start_drill(tenant.org, tenant.actor, "upstream-a", LASTS_S)
    let_all_hear(gateway, tenant)
    during = [ask() for _ in range(8)]
    assert {answer.headers["x-shareai-target"] for answer in during} == {"upstream-b/sim-chat"}
    assert during[0].json()["shareai"]["rejected"][0]["reason"] == "drill"
    time.sleep(max(0.0, drill.until.timestamp() - time.time()) + 0.05)
    assert {ask().headers["x-shareai-target"] for _ in range(8)} == {"upstream-a/sim-chat"}
