"""What is published or rolled back is served by both processes of a real gateway."""

from __future__ import annotations

import httpx
import pytest

from routing.drafts import publish_draft, roll_back, save_draft
from routing.services import put_route
from tests.routing.hearing import let_all_hear

ASKED = {"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}
A, B = {"targets": [{"target": "upstream-a/sim-chat"}]}, {"targets": [{"target": "upstream-b/sim-chat"}]}


@pytest.fixture
def fast(tenant, upstreams):
    for upstream in (upstreams.a, upstreams.b):
        tenant.connect(upstream.base_url, ["sim-chat"])
    return put_route(tenant.org, tenant.actor, "fast", A)


def answered_by(gateway, tenant, times: int = 12) -> set[str]:
    """By how many targets; a connection of its own for each call, so that both processes are asked."""
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    calls = (httpx.post(f"{gateway.base_url}/chat/completions", json=ASKED, headers=headers) for _ in range(times))
    return {call.headers["x-shareai-target"] for call in calls}


def test_both_processes_serve_what_was_published_and_what_was_brought_back(gateway, tenant, fast):
    assert answered_by(gateway, tenant) == {"upstream-a/sim-chat"}
    draft = save_draft(tenant.org, tenant.actor, "fast", B)
    assert answered_by(gateway, tenant) == {"upstream-a/sim-chat"}
    publish_draft(draft, tenant.actor)
    let_all_hear(gateway, tenant)
    assert answered_by(gateway, tenant) == {"upstream-b/sim-chat"}
    roll_back(fast, tenant.actor, 1)
    let_all_hear(gateway, tenant)
    assert answered_by(gateway, tenant) == {"upstream-a/sim-chat"}
