from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from accounts.models import AuditEvent
from providers.models import Connection, ConnectionKey, ServedModel
from tests.console.api.conftest import attempt, refused
from tests.fakes.upstream import KEY, FaultUpstream

pytestmark = pytest.mark.django_db

SECRET = "sk-vendor-0123456789abcdef"
BODY = {
    "name": "Our cluster",
    "base_url": "https://llm.example.com/v1",
    "api_keys": [SECRET],
    "models": [{"id": "fast", "upstream_id": "llama-3.1-8b", "input_price": "0.05", "output_price": "0.08"}],
}


@pytest.fixture
def provider(api) -> str:
    made = api.post("providers", BODY)
    assert made.status_code == 201, made.content
    return str(made.json()["id"])


@pytest.fixture(scope="module")
def server() -> Iterator[FaultUpstream]:
    with FaultUpstream(models=["small"]) as server:
        yield server


@pytest.fixture
def upstream(server, settings) -> FaultUpstream:
    server.heal()
    settings.EGRESS_ALLOW = f"127.0.0.1:{server.port}"
    return server


def test_a_new_provider_with_keys_and_models(api, acme):
    answer = api.post("providers", BODY)
    made = answer.json()
    assert answer.status_code == 201
    assert (made["slug"], made["status"], made["preset"]) == ("our-cluster", "unknown", "custom")
    [model], [key] = made["models"], made["keys"]
    assert (model["id"], model["upstream_id"]) == ("fast", "llama-3.1-8b")
    assert (model["input_price"], model["output_price"], model["price_source"]) == ("0.05", "0.08", "manual")
    assert (key["hint"], key["state"]) == (SECRET[-4:], "active")
    assert api.get(f"providers/{made['id']}").json() == made
    assert ServedModel.objects.of(acme).get().input_price == Decimal("0.05")


def test_a_vendors_key_never_comes_out(api, acme, provider):
    for path in ("providers", f"providers/{provider}", f"providers/{provider}/keys", "audit-events"):
        assert SECRET not in api.get(path, limit=100).content.decode()


def test_a_preset_brings_its_address(api):
    made = api.post("providers", {"name": "Vendor", "preset": "openai", "api_keys": [SECRET]}).json()
    assert made["base_url"] == "https://api.openai.com/v1"


def test_a_price_may_come_as_a_number(api):
    models = [{"id": "fast", "input_price": 0.15, "output_price": 3}]
    made = api.post("providers", BODY | {"models": models}).json()
    assert [made["models"][0][name] for name in ("input_price", "output_price")] == ["0.15", "3"]


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"name": ""}, "invalid_request", "name"),
        ({"preset": "nope"}, "invalid_request", "preset"),
        ({"base_url": "nonsense"}, "invalid_connection", "base_url"),
        ({"base_url": "http://127.0.0.1:1/v1"}, "address_refused", "base_url"),
        ({"base_url": "http://169.254.169.254/v1"}, "address_refused", "base_url"),
        ({"api_keys": ["two words"]}, "invalid_connection", "api_keys"),
        ({"api_keys": SECRET}, "invalid_request", "api_keys"),
        ({"models": [{"upstream_id": "x"}]}, "invalid_request", "models.0.id"),
        ({"models": [{"id": "a"}, {"id": "b", "input_price": "-1"}]}, "invalid_connection", "models.1.input_price"),
        ({"models": [{"id": "a", "input_price": "1"}]}, "invalid_connection", "models.0.output_price"),
        ({"models": [{"id": "a", "input_price": True}]}, "invalid_request", "models.0.input_price"),
        ({"models": [{"id": "a", "price": "1"}]}, "invalid_request", "models.0.price"),
        ({"models": [{"id": "a"}, {"id": "a"}]}, "invalid_connection", "models.1.id"),
        ({"options": {"auth_header": "host"}}, "invalid_connection", "options.auth_header"),
        ({"options": {"colour": "red"}}, "invalid_request", "options.colour"),
        ({"priority": 0}, "invalid_request", "priority"),
    ],
)
def test_a_mistake_is_refused_with_its_field(api, acme, change, code, param):
    assert refused(api.post("providers", BODY | change), 400, code, param)
    assert not Connection.objects.of(acme).exists()


def test_a_change_touches_what_is_given(api, provider):
    changed = api.patch(f"providers/{provider}", {"name": "Cluster", "priority": 5, "enabled": False}).json()
    assert (changed["name"], changed["priority"], changed["status"]) == ("Cluster", 5, "disabled")
    assert (changed["slug"], len(changed["keys"]), len(changed["models"])) == ("our-cluster", 1, 1)
    assert api.patch(f"providers/{provider}", {"enabled": True}).json()["status"] == "unknown"


def test_a_change_of_the_models_is_the_whole_list(api, provider):
    changed = api.patch(f"providers/{provider}", {"models": [{"id": "slow", "kind": "embedding"}]}).json()
    assert [(model["id"], model["kind"]) for model in changed["models"]] == [("slow", "embedding")]


def test_keys_do_not_follow_to_another_host(api, provider):
    moved = {"base_url": "https://other.example.com/v1"}
    assert api.patch(f"providers/{provider}", moved).json()["keys"] == []
    again = api.patch(f"providers/{provider}", {"base_url": BODY["base_url"], "api_keys": ["sk-new"]}).json()
    assert len(again["keys"]) == 1


def test_a_change_is_made_as_a_whole_or_not_at_all(api, acme, provider):
    events = AuditEvent.objects.of(acme).count()
    change = {"name": "Changed", "enabled": False, "models": [{"id": "a"}, {"id": "a"}]}
    assert refused(api.patch(f"providers/{provider}", change), 400, "invalid_connection", "models.1.id")
    shown = api.get(f"providers/{provider}").json()
    assert (shown["name"], shown["enabled"]) == ("Our cluster", True)
    assert AuditEvent.objects.of(acme).count() == events


def test_finer_prices_are_set_shown_and_refused_by_field(api, acme, provider):
    tier = {"above_tokens": 200_000, "input_price": "6", "output_price": "22.50", "cached_input_price": None}
    model = {
        "id": "long", "input_price": "3", "output_price": "15", "cache_write_price": "3.75", "reasoning_price": 12,
        "price_tiers": [{**tier, "above_tokens": 400_000}, tier],
    }  # fmt: skip
    changed = api.patch(f"providers/{provider}", {"models": [model]}).json()
    [shown] = changed["models"]
    assert (shown["cache_write_price"], shown["reasoning_price"], shown["audio_input_price"]) == ("3.75", "12", None)
    assert [tier["above_tokens"] for tier in shown["price_tiers"]] == [200_000, 400_000]
    assert (shown["price_tiers"][0]["output_price"], shown["price_tiers"][0]["cached_input_price"]) == ("22.5", None)
    [target] = api.get("targets").json()["data"]
    assert target["price"]["price_tiers"] == shown["price_tiers"]
    wrong = {**model, "price_tiers": [tier, tier]}
    answer = api.patch(f"providers/{provider}", {"models": [wrong]})
    assert refused(answer, 400, "invalid_connection", "models.0.price_tiers.1.above_tokens")
    without = {"id": "long", "price_tiers": [tier]}
    answer = api.patch(f"providers/{provider}", {"models": [without]})
    assert refused(answer, 400, "invalid_connection", "models.0.input_price")


def test_a_deleted_provider_is_gone_with_its_keys(api, acme, provider):
    assert api.delete(f"providers/{provider}").status_code == 204
    assert api.get(f"providers/{provider}").status_code == 404
    assert not ConnectionKey.objects.of(acme).exists()


def test_keys_are_added_parked_brought_back_and_forgotten(api, provider):
    keys = f"providers/{provider}/keys"
    added = api.post(keys, {"key": "sk-second-0123456789", "label": "second", "weight": 3})
    key = added.json()
    assert (added.status_code, key["hint"], key["weight"], key["label"]) == (201, "6789", 3, "second")
    assert len(api.get(keys).json()["data"]) == 2
    parked = api.patch(f"{keys}/{key['id']}", {"state": "parked"}).json()
    assert (parked["state"], "Automation" in parked["state_reason"]) == ("parked", True)
    assert api.get(f"{keys}/{key['id']}").json()["state"] == "parked"
    assert api.patch(f"{keys}/{key['id']}", {"state": "active"}).json()["state_reason"] == ""
    assert api.delete(f"{keys}/{key['id']}").status_code == 204
    assert api.get(f"{keys}/{key['id']}").status_code == 404


@pytest.mark.parametrize("body", [{}, {"key": ""}, {"key": "two words"}, {"key": SECRET}, {"key": 1}])
def test_a_key_that_is_none_is_refused_by_its_own_name(api, provider, body):
    code = "invalid_connection" if body.get("key") in ("two words", SECRET) else "invalid_request"
    assert refused(api.post(f"providers/{provider}/keys", body), 400, code, "key")


def test_with_all_keys_parked_the_status_says_so(api, provider):
    [key] = api.get(f"providers/{provider}/keys").json()["data"]
    api.patch(f"providers/{provider}/keys/{key['id']}", {"state": "parked"})
    assert api.get(f"providers/{provider}").json()["status"] == "no_key"


def test_traffic_tells_the_status(api, provider, log):
    log(attempts=[attempt("our-cluster/fast")])
    assert api.get("providers").json()["data"][0]["status"] == "healthy"
    log(attempts=[attempt("our-cluster/fast", "connect_failed", status=None)] * 3)
    assert api.get(f"providers/{provider}").json()["status"] == "down"


def test_a_working_provider_passes_the_test(api, upstream):
    made = api.post(
        "providers", {"name": "Up", "base_url": upstream.base_url, "api_keys": [KEY], "models": [{"id": "small"}]}
    ).json()
    answer = api.post(f"providers/{made['id']}/test")
    report = answer.json()
    assert answer.status_code == 200
    assert report["ok"] is True
    assert "small" in report["models"]
    assert report["latency_ms"] >= 0
    assert "error" not in report
    assert api.get(f"providers/{made['id']}").json()["status"] == "healthy"


def test_a_failing_provider_is_an_answer_and_no_error(api, upstream):
    made = api.post(
        "providers", {"name": "Up", "base_url": upstream.base_url, "api_keys": ["wrong"], "models": [{"id": "small"}]}
    ).json()
    answer = api.post(f"providers/{made['id']}/test")
    report = answer.json()
    assert (answer.status_code, report["ok"]) == (200, False)
    assert report["error"]
    assert report["error_code"]
    assert "wrong" not in report["error"].split()
    assert api.get(f"providers/{made['id']}").json()["status"] == "down"
