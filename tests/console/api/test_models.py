"""`/models` and `/targets`."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from console.health import vitals_of
from providers.models import Connection
from tests.console.api.conftest import add_provider, attempt

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_providers(api) -> None:
    for name, price, tokens in (("Cheap", "0.1", 8_000), ("Dear", "2", 128_000)):
        model = {"id": "small", "input_price": price, "output_price": price, "context_tokens": tokens}
        only = {"id": f"only-{name.lower()}", "capabilities": ["tools"]}
        body = {"name": name, "base_url": "https://llm.example.com/v1", "models": [model, only]}
        assert api.post("providers", body).status_code == 201


def one(api, path: str, name: str) -> dict:
    [found] = [entry for entry in api.get(path, limit=100).json()["data"] if name in (entry["id"], entry.get("name"))]
    return found


def test_a_target_tells_price_and_place(api, two_providers):
    target = one(api, "targets", "cheap/small")
    assert (target["model"], target["provider"], target["is_own"]) == ("small", "cheap", True)
    assert target["price"] == {
        "input_price": "0.1",
        "cached_input_price": None,
        "output_price": "0.1",
        "request_price": "0",
        "cache_write_price": None,
        "audio_input_price": None,
        "reasoning_price": None,
        "audio_output_price": None,
        "price_tiers": [],
    }
    assert (target["health"], target["first_token_p50_ms"]) == (None, None)
    assert one(api, "targets", "cheap/only-cheap")["price"] is None


def test_what_is_disabled_is_no_target(api, two_providers):
    provider = api.get("providers").json()["data"][0]
    api.patch(f"providers/{provider['id']}", {"enabled": False})
    names = {target["provider"] for target in api.get("targets").json()["data"]}
    assert provider["slug"] not in names
    assert len(names) == 1


def test_health_and_speed_come_from_the_organisations_own_requests(api, two_providers, log, rival):
    for ttft_ms in (100, 200, 900):
        log(target="cheap/small", model="small", attempts=[attempt("cheap/small")], ttft_ms=ttft_ms)
    log(
        target="dear/small",
        model="small",
        attempts=[attempt("cheap/small", "first_byte_timeout", status=None), attempt("dear/small")],
        ttft_ms=None,
    )
    log(rival, target="dear/small", attempts=[attempt("dear/small", "server_error", status=500)], ttft_ms=5)
    cheap, dear = one(api, "targets", "cheap/small"), one(api, "targets", "dear/small")
    assert (cheap["health"]["state"], cheap["health"]["attempts"], cheap["health"]["failed"]) == ("degraded", 4, 1)
    assert (dear["health"]["state"], dear["health"]["attempts"]) == ("healthy", 1)
    assert (cheap["first_token_p50_ms"], dear["first_token_p50_ms"]) == (200.0, None)


def test_what_fails_most_of_the_time_is_down_and_what_is_long_ago_counts_no_more(api, two_providers, log):
    log(attempts=[attempt("cheap/small", "server_error", status=500)])
    log(attempts=[attempt("dear/small", "server_error", status=500)], at=timezone.now() - timedelta(minutes=6))
    assert one(api, "targets", "cheap/small")["health"]["state"] == "down"
    assert one(api, "targets", "dear/small")["health"] is None


def test_yesterdays_speed_is_forgotten(api, two_providers, log):
    log(target="cheap/small", at=timezone.now() - timedelta(hours=25), ttft_ms=100)
    assert one(api, "targets", "cheap/small")["first_token_p50_ms"] is None


def test_a_model_sums_its_targets_up(api, two_providers, log):
    log(model="small", attempts=[attempt("cheap/small", "server_error", status=500), attempt("dear/small")])
    model = one(api, "models", "small")
    assert (model["targets"], model["is_route"]) == (["cheap/small", "dear/small"], False)
    assert (model["price"]["input_price"], model["context_tokens"]) == ("0.1", 128_000)
    assert (model["health"]["state"], model["first_token_p50_ms"]) == ("healthy", 120.0)


def test_a_route_is_a_model(api, two_providers):
    gone = add_provider(api, "Gone", "model")
    legs = [{"target": "dear/small"}, {"target": "only-cheap"}, {"target": "gone/model"}]
    api.put("routes/team/fast", {"targets": legs})
    api.delete(f"providers/{gone['id']}")
    model = one(api, "models", "team/fast")
    assert (model["is_route"], model["targets"]) == (True, ["dear/small", "cheap/only-cheap"])
    assert (model["capabilities"], model["price"]["input_price"]) == (["tools"], "2")


def test_a_route_that_leads_nowhere_or_is_disabled_is_no_model(api, two_providers):
    gone = add_provider(api, "Gone", "model")
    api.put("routes/nowhere", {"targets": [{"target": "gone/model"}]})
    api.delete(f"providers/{gone['id']}")
    api.put("routes/off", {"targets": [{"target": "small"}], "enabled": False})
    names = {model["id"] for model in api.get("models").json()["data"]}
    assert names == {"small", "only-cheap", "only-dear"}


def test_a_provider_and_its_targets_are_judged_by_the_same_attempts(api, acme, two_providers, log):
    at = timezone.now() - timedelta(minutes=1)
    log(attempts=[attempt("cheap/small", "server_error", status=500)], at=at)
    log(attempts=[attempt("cheap/small"), attempt("cheap/only-cheap", "rate_limited", status=429)])
    log(attempts=[attempt("cheap/only-cheap")])
    health = {name: one(api, "targets", f"cheap/{name}")["health"] for name in ("small", "only-cheap")}
    assert {name: (each["attempts"], each["failed"]) for name, each in health.items()} == {
        "small": (2, 1),
        "only-cheap": (2, 1),
    }
    connection = Connection.objects.of(acme).prefetch_related("keys").get(slug="cheap")
    vitals = vitals_of(acme, [connection])[connection.pk]
    assert (vitals.attempts.ok, vitals.attempts.failed, vitals.state) == (2, 2, "degraded")
    assert vitals.attempts.last_error == "rate_limited"
