from __future__ import annotations

import pytest

from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_providers(api):
    for name, price in (("Dear", "5"), ("Cheap", "0.5")):
        models = [{"id": "small", "input_price": price, "output_price": price}]
        api.post(
            "providers", {"name": name, "base_url": "https://llm.example.com/v1", "api_keys": ["k"], "models": models}
        )
    targets = [{"target": "dear/small"}, {"target": "cheap/small"}]
    api.put("routes/team/fast", {"strategy": "cheapest", "targets": targets})


def test_a_route_is_explained(api, two_providers):
    answer = api.post("routes/explain", {"model": "team/fast", "prompt_tokens": 1_000_000, "max_tokens": 1})
    told = answer.json()
    assert (answer.status_code, told["route"], told["strategy"]) == (200, "team/fast", "cheapest")
    assert [kept["target"] for kept in told["candidates"]] == ["cheap/small", "dear/small"]
    assert told["candidates"][0]["estimated_cost_usd"] == "0.500000500"
    assert (told["dropped"], told["refusal"]) == ([], None)


def test_what_the_request_needs_drops_targets_with_a_reason(api, two_providers):
    told = api.post("routes/explain", {"model": "small:local"}).json()
    assert told["refusal"]["code"] == "no_provider_available"
    assert {one["reason"] for one in told["dropped"]} == {"not_local"}
    told = api.post("routes/explain", {"model": "small", "kind": "embedding"}).json()
    assert (told["refusal"]["code"], told["refusal"]["status"]) == ("invalid_request", 400)
    assert {one["reason"] for one in told["dropped"]} == {"wrong_kind"}


def test_a_name_that_leads_nowhere_is_told_as_the_refusal_of_the_call(api, two_providers):
    told = api.post("routes/explain", {"model": "team/fastt"}).json()
    assert (told["refusal"]["status"], told["refusal"]["code"]) == (404, "model_not_found")
    assert "team/fast" in told["refusal"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": "m", "prompt_tokens": -1}, "prompt_tokens"),
        ({"model": "m", "needs": ["magic"]}, "needs.0"),
        ({"model": "m", "colour": "red"}, "colour"),
    ],
)
def test_a_mistake_is_refused_with_its_field(api, body, param):
    assert refused(api.post("routes/explain", body), 400, "invalid_request", param)


def test_a_viewer_may_ask(api_of, carol, two_providers):
    assert api_of(carol).post("routes/explain", {"model": "small"}).status_code == 200
