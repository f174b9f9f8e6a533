from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.keys import create_key
from providers.services import create_connection
from tests.console.api.conftest import attempt, refused

pytestmark = pytest.mark.django_db


def ids(api, **query) -> set[str]:
    return {request["id"] for request in api.get("requests", **query).json()["data"]}


def test_a_request_is_shown_with_its_attempts(api, acme, as_alice, log):
    key = create_key(acme, as_alice, name="App", scopes=["inference"], created_by=None).key
    attempts = [attempt("a/small", "connect_failed", status=None, ttft_ms=None), attempt("b/small", started_ms=12)]
    logged = log(key=key, target="b/small", attempts=attempts, attempt_count=2, metadata={"tier": "1"})
    shown = api.get(f"requests/{logged.request_id}").json()
    assert (shown["id"], shown["key"], shown["target"]) == (logged.request_id, key.public_id, "b/small")
    assert (shown["tokens"], shown["cost_usd"], shown["billing_reason"]) == (150, "0.000045", "tokens")
    assert [(tried["target"], tried["outcome"]) for tried in shown["attempts"]] == [
        ("a/small", "connect_failed"),
        ("b/small", "ok"),
    ]
    assert shown["metadata"] == {"tier": "1"}


def test_nothing_internal_is_shown(api, log):
    logged = log()
    text = api.get(f"requests/{logged.request_id}").content.decode()
    for internal in ("target_id", "credential", "org_id", "key_id", "user_id"):
        assert internal not in text


def test_the_list_shows_what_one_shows(api, log):
    logged = log()
    assert api.get("requests").json()["data"] == [api.get(f"requests/{logged.request_id}").json()]


def test_a_request_tells_what_it_cost_line_by_line(api, acme, as_alice, log):
    tiers = [{"above_tokens": 200_000, "input_price": "6", "output_price": "22.5", "cached_input_price": "0.6"}]
    sold = create_connection(
        acme, as_alice, preset="custom", name="Own", base_url="https://llm.example/v1", api_keys=["sk-012345"],
        models=[{"id": "x", "input_price": "3", "output_price": "15", "price_tiers": tiers, "request_price": "0.01"}],
    ).served_models.get()  # fmt: skip
    used = {"input_tokens": 200_001, "cached_tokens": 1, "output_tokens": 10, "token_details": {"reasoning": 4}}
    logged = log(target="own/x", target_id=sold.pk, price_version=1, cost_nanos=1_210_225_600, **used)
    shown = api.get(f"requests/{logged.request_id}").json()
    assert shown["token_details"] == {"cache_write": 0, "audio_input": 0, "reasoning": 4, "audio_output": 0}
    [bill] = shown["bill"]
    assert [tuple(line.values()) for line in bill.pop("lines")] == [
        ("input", 200_000, "6", "1.2"),
        ("cached_input", 1, "0.6", "0.0000006"),
        ("output", 6, "22.5", "0.000135"),
        ("reasoning", 4, "22.5", "0.00009"),
    ]
    assert bill == {
        "target": "own/x", "price_version": 1, "above_tokens": 200_000, "request_usd": "0.01",
        "cost_usd": "1.2102256",
    }  # fmt: skip
    assert log(target_id=None).request_id in ids(api)


def test_filters_narrow_the_list(api, acme, as_alice, log):
    key = create_key(acme, as_alice, name="App", scopes=["inference"], created_by=None).key
    good = log(key=key, duration_ms=10).request_id
    bad = log(model="slow", status=502, error_code="provider_unavailable", target="", stream=True).request_id
    old = log(at=timezone.now() - timedelta(days=2), status=429, route="").request_id
    assert ids(api) == {good, bad, old}
    assert ids(api, model="slow") == {bad}
    assert ids(api, route="fast") == {good, bad}
    assert ids(api, target="upstream/small") == {good, old}
    assert ids(api, key=key.public_id) == {good}
    assert ids(api, key="nosuchkey000") == set()
    assert ids(api, status="5xx") == {bad}
    assert ids(api, status="4xx") == {old}
    assert ids(api, error_code="provider_unavailable") == {bad}
    assert ids(api, stream="true") == {bad}
    assert ids(api, stream="false") == {good, old}
    assert ids(api, min_duration_ms=100) == {bad, old}
    yesterday = (timezone.now() - timedelta(days=1)).isoformat()
    assert ids(api, from_=yesterday) == {good, bad}
    assert ids(api, to=yesterday) == {old}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"status": "200"}, "status"),
        ({"stream": "perhaps"}, "stream"),
        ({"min_duration_ms": -1}, "min_duration_ms"),
        ({"min_duration_ms": 2**31}, "min_duration_ms"),
        ({"from": "2026-11-20", "to": "2026-11-19"}, "to"),
        ({"model": "\x00"}, "model"),
    ],
)
def test_a_mistake_is_refused_with_its_parameter(api, query, param):
    assert refused(api.get("requests", **query), 400, "invalid_request", param)


@pytest.mark.parametrize("request_id", ["req_0", "nonsense", "req_01a2039fea8977f38e2af0fede7a52bd"])
def test_an_id_that_is_none_is_not_found(api, request_id):
    assert refused(api.get(f"requests/{request_id}"), 404, "not_found")
