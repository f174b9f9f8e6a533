"""A canary gets its share, is compared, promoted or rolled back: through a real gateway of two processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import httpx
import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import AuditEvent
from metering.usage import UsageRecord
from routing import canaries
from routing.canary_counts import counter
from routing.canary_draw import drawn
from routing.drafts import save_draft
from routing.models import Canary, CanaryCount, Route, RouteDraft
from routing.services import put_route
from routing.snapshots import Canary as Trial
from routing.snapshots import RouteRecord
from tests.ownredis import eventually
from tests.routing.hearing import let_all_hear
from tests.stack import GatewayProcess, Tenant

URL = "/v1/chat/completions"
BODY = {"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def acme(tenant: Tenant, upstreams) -> Tenant:
    tenant.connect(upstreams.a.base_url, ["sim-chat"], name="A")
    tenant.connect(upstreams.b.base_url, ["other"], name="B")
    put_route(tenant.org, tenant.actor, "fast", {"targets": [{"target": "sim-chat"}]})
    return tenant


@pytest.fixture
def draft(acme: Tenant) -> RouteDraft:
    return save_draft(acme.org, acme.actor, "fast", {"targets": [{"target": "other"}]})


async def _asked(gateway: GatewayProcess, acme: Tenant, times: int) -> list[httpx.Response]:
    gate = asyncio.Semaphore(20)

    async def one() -> httpx.Response:
        headers = {"Authorization": f"Bearer {acme.api_key}", "X-ShareAI-Metadata": "enabled"}
        async with gate, httpx.AsyncClient(timeout=60) as client:
            return await client.post(gateway.url + URL, json=BODY, headers=headers)

    return await asyncio.gather(*(one() for _ in range(times)))


def asked(gateway: GatewayProcess, acme: Tenant, times: int) -> Counter:
    responses = asyncio.run(_asked(gateway, acme, times))
    return Counter((each.status_code, each.json().get("shareai", {}).get("version")) for each in responses)


def counted(row: Canary, requests: int) -> canaries.Comparison:
    def all_there() -> bool:
        found = canaries.compare(row)
        return found.canary.requests + found.stable.requests == requests

    eventually(all_there, 15)
    return canaries.compare(row)


def test_chance_gives_each_its_share():
    canary = RouteRecord("fast", "priority", (), variant={"canary": "c", "version": "canary"})
    route = RouteRecord("fast", "priority", (), canary=Trial(20, canary))
    taken = sum(drawn(route) is canary for _ in range(20_000))
    assert 3_600 < taken < 4_400


def test_a_canary_takes_its_share_and_the_trace_says_which(gateway, acme, draft, upstreams):
    row = canaries.start(draft, acme.actor, 50)
    let_all_hear(gateway, acme)
    seen = asked(gateway, acme, 60)
    assert seen[200, "canary"] + seen[200, "stable"] == 60
    assert min(seen.values()) > 5
    found = counted(row, 60)
    assert (found.canary.requests, found.canary.errors) == (seen[200, "canary"], 0)
    assert found.stable.ttft_ms is not None
    canaries.promote(row, acme.actor)
    let_all_hear(gateway, acme)
    upstreams.a.log.clear()
    assert asked(gateway, acme, 10) == {(200, None): 10}
    assert Route.objects.of(acme.org).get(name="fast").targets[0]["target"] == "other"
    assert not RouteDraft.objects.of(acme.org).exists()
    assert AuditEvent.objects.of(acme.org).filter(action="canary.promoted").count() == 1


def test_a_canary_that_fails_is_rolled_back_once(gateway, acme, draft, upstreams):
    row = canaries.start(draft, acme.actor, 50, least_requests=10)
    let_all_hear(gateway, acme)
    upstreams.b.fail("500")
    seen = asked(gateway, acme, 50)
    failed = sum(times for (status, _version), times in seen.items() if status >= 500)
    found = counted(row, 50)
    assert found.canary.errors == found.canary.requests == failed > 10
    assert found.stable.errors == 0
    mail.outbox.clear()
    canaries.watch()
    canaries.watch()
    row.refresh_from_db()
    assert (row.state, row.reason) == (Canary.ROLLED_BACK, "errors")
    event = AuditEvent.objects.of(acme.org).get(action="canary.rolled_back")
    assert (event.actor_type, event.after["canary_error_percent"]) == ("system", 100.0)
    assert RouteDraft.objects.of(acme.org).exists()
    let_all_hear(gateway, acme)
    assert asked(gateway, acme, 10) == {(200, None): 10}


def test_what_the_canary_cannot_serve_the_stable_version_does(gateway, acme, upstreams):
    content = {"targets": [{"target": "other", "weight": 0}]}
    row = canaries.start(save_draft(acme.org, acme.actor, "fast", content), acme.actor, 99, least_requests=5)
    let_all_hear(gateway, acme)
    seen = asked(gateway, acme, 20)
    assert seen[200, "unserved"] > 5
    assert counted(row, 20).canary.errors == seen[200, "unserved"]
    canaries.watch()
    row.refresh_from_db()
    assert row.state == Canary.ROLLED_BACK


def record_of(row: Canary, version: str, status: int, minutes_ago: int = 0, number: int = 0) -> UsageRecord:
    return UsageRecord(
        request_id=f"req_{version}_{number}",
        started_at=(timezone.now() - timedelta(minutes=minutes_ago)).isoformat(),
        org_id=row.org_id,
        key_id=None,
        user_id=None,
        endpoint="chat/completions",
        model="fast",
        status=status,
        usage_source="reported",
        billing_reason="completed",
        metadata={"canary": row.public_id, "version": version},
    )


def count(row: Canary, version: str, statuses: list[int], minutes_ago: int = 0) -> None:
    records = [record_of(row, version, status, minutes_ago, number) for number, status in enumerate(statuses)]
    with connection.cursor() as cursor:
        counter()(cursor.cursor, records)


def is_running(row: Canary) -> bool:
    canaries.watch()
    row.refresh_from_db()
    return row.state == Canary.RUNNING


def test_few_requests_say_nothing(acme, draft):
    row = canaries.start(draft, acme.actor, 10, least_requests=20)
    count(row, "canary", [500] * 19)
    assert is_running(row)
    count(row, "canary", [500])
    assert not is_running(row)


def test_it_is_compared_with_the_stable_version(acme, draft):
    row = canaries.start(draft, acme.actor, 10, least_requests=20, most_error_percent=5)
    count(row, "canary", [500] * 20 + [200] * 80)
    count(row, "stable", [500] * 16 + [200] * 84)
    assert is_running(row), "both fail: it is not the canary"
    count(row, "stable", [200] * 400)
    assert not is_running(row)


def test_what_goes_wrong_late_is_not_hidden_by_what_went_well(acme, draft):
    row = canaries.start(draft, acme.actor, 10, least_requests=20)
    count(row, "canary", [200] * 5000, minutes_ago=60)
    count(row, "canary", [502] * 20)
    assert not is_running(row)


def test_what_callers_and_limits_do_is_not_held_against_it(acme, draft):
    row = canaries.start(draft, acme.actor, 10, least_requests=1)
    count(row, "canary", [429, 402, 499, 401])
    assert not CanaryCount.objects.filter(canary=row).exists()


def test_publishing_something_else_ends_it(acme, draft):
    row = canaries.start(draft, acme.actor, 10)
    put_route(acme.org, acme.actor, "fast", {"targets": [{"target": "sim-chat", "weight": 3}]})
    row.refresh_from_db()
    assert row.state == Canary.SUPERSEDED
    with pytest.raises(InvalidField):
        canaries.roll_back(row, acme.actor)


def test_what_cannot_be_begun(acme, draft):
    for percent in (0, 100):
        with pytest.raises(InvalidField):
            canaries.start(draft, acme.actor, percent)
    canaries.start(draft, acme.actor, 10)
    with pytest.raises(InvalidField):
        canaries.start(draft, acme.actor, 10)
    alone = save_draft(acme.org, acme.actor, "new", {"targets": [{"target": "other"}]})
    with pytest.raises(InvalidField):
        canaries.start(alone, Actor.system("tests"), 10)
    put_route(acme.org, acme.actor, "home", {"targets": [{"target": "sim-chat"}], "private": True})
    leaky = save_draft(acme.org, acme.actor, "home", {"targets": [{"target": "other"}]})
    with pytest.raises(InvalidField):
        canaries.start(leaky, acme.actor, 10)
