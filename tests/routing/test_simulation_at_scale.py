"""A simulation on 100,000 requests of a day, reading them included; how long it took is noted."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from routing.drafts import save_draft
from routing.models import Simulation
from routing.services import put_route
from routing.simulations import run_simulation, start_simulation
from tests.figures import timed
from tests.routing.crowd import LONG
from tests.stack import make_tenant

REQUESTS = 100_000 if LONG else 2_000

FILL = """
INSERT INTO metering_usage (request_id, started_at, org_id, endpoint, model, route, target, status, usage_source,
    billing_reason, error_code, stream, finish_reason, input_tokens, cached_tokens, output_tokens, cost_nanos,
    attempts, attempt_count, duration_ms, ttft_ms, sdk_retry, user_agent, cache, saved_nanos, prompt_hash)
SELECT 'req_' || %s || '_' || n, %s::timestamptz - n * interval '23 hours' / %s, %s, 'chat/completions', 'fast',
    'fast', 'a/sim-chat', 200, 'reported', 'completed', '', false, 'stop', 100 + n %% 900, 0, 200, 300000,
    '[{"target": "a/sim-chat", "target_id": 1, "credential": "", "outcome": "ok", "status": 200, "started_ms": 0,
       "duration_ms": 300, "ttft_ms": 120}]'::jsonb, 1, 300, 120, 0, '', '', 0, 0
FROM generate_series(1, %s) AS n
"""


@pytest.mark.django_db
def test_a_day_of_requests():
    tenant = make_tenant()
    for name in ("A", "B"):
        tenant.connect(
            f"https://{name.lower()}.example.com/v1",
            [{"id": "sim-chat", "input_price": "1", "output_price": "2"}],
            name=name,
        )
    put_route(tenant.org, tenant.actor, "fast", {"targets": [{"target": "a/sim-chat"}]})
    content = {"targets": [{"target": "b/sim-chat"}, {"target": "a/sim-chat", "tier": 1}], "strategy": "cheapest"}
    draft = save_draft(tenant.org, tenant.actor, "fast", content)
    with connection.cursor() as cursor:
        cursor.execute(FILL, [tenant.org.pk, timezone.now(), REQUESTS, tenant.org.pk, REQUESTS])
    begun = start_simulation(draft, tenant.actor, run=int)
    with timed(f"simulate {REQUESTS} requests, reading included"):
        run_simulation(begun.pk)
    begun.refresh_from_db()
    assert (begun.state, begun.done, begun.total) == (Simulation.DONE, REQUESTS, REQUESTS)
    assert begun.report
