"""From rows to targets: whose, in which order, at which price, in how many queries."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest

from providers import services
from providers.adapters import ADAPTERS
from providers.models import ServedModel
from providers.presets import PRESETS
from providers.schema import CHAT, COMPLETIONS, NEVER_DROPPED, dropped_of, parse
from providers.sources import load_targets, price_of
from providers.targets import Price

pytestmark = pytest.mark.django_db


def names(org) -> list[str]:
    return [target.name for target in load_targets(org.pk)]


def test_an_organisation_sees_the_platform_s_targets_and_its_own(acme, rival, connect, as_mallory, as_system):
    connect(name="Platform", org=None, actor=as_system)
    connect(name="Ours")
    connect(name="Theirs", org=rival, actor=as_mallory)
    assert names(acme) == ["ours/small", "platform/small"]
    assert names(rival) == ["theirs/small", "platform/small"]
    assert [target.org_id for target in load_targets(acme.pk)] == [acme.pk, None]


def test_priority_comes_first(acme, connect):
    connect(name="Late", priority=200)
    connect(name="Early", priority=10)
    assert names(acme) == ["early/small", "late/small"]


def test_three_queries_whatever_the_number(acme, connect, as_alice, as_system, django_assert_num_queries):
    for number in range(4):
        connection = connect(name=f"Own {number}", models=[{"id": f"m{n}"} for n in range(5)])
        services.add_key(connection, as_alice, f"sk-second-{number}")
    connect(name="Platform", org=None, actor=as_system)
    with django_assert_num_queries(3):
        assert len(load_targets(acme.pk)) == 21


def test_what_is_switched_off_is_not_there(acme, connect, as_alice):
    connection = connect(models=[{"id": "on"}, {"id": "off", "enabled": False}])
    assert names(acme) == ["upstream/on"]
    services.disable_connection(connection, as_alice)
    assert names(acme) == []


def test_a_local_server_needs_no_key(acme, connect):
    connect(preset="ollama", base_url="https://llm.example/v1", api_keys=[])
    [target] = load_targets(acme.pk)
    assert (target.credentials, target.options) == ((), {})


def test_openai_is_given_the_limit_by_the_name_that_its_newer_models_know(acme, connect):
    """Whoever gives no limit gets one from the gateway where money is held, which must not be refused."""
    connect(preset="openai", base_url="", models=[{"id": "gpt-5-mini"}])
    [target] = load_targets(acme.pk)
    adapter = ADAPTERS[target.adapter]
    for body, sent in (
        ({"max_tokens": 9}, {"max_completion_tokens": 9}),
        ({"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        ({"max_tokens": 9, "max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        ({}, {}),
    ):
        asked = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hi"}]} | body
        call = parse(CHAT, asked, request_id="req_1", body_bytes=100)
        told = orjson.loads(adapter.request(call, target, None).body)
        assert {name: told[name] for name in told if "tokens" in name} == sent
    legacy = parse(COMPLETIONS, {"model": "m", "prompt": "p", "max_tokens": 9}, request_id="req_1", body_bytes=100)
    assert orjson.loads(adapter.request(legacy, target, None).body)["max_tokens"] == 9


def test_what_a_preset_and_its_owner_say_is_not_taken_is_not_sent(acme, connect):
    connect(preset="mistral", base_url="", models=[{"id": "m"}], options={"dropped_params": "seed"})
    [target] = load_targets(acme.pk)
    sent = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stop": "x", "max_tokens": 9}
    asked = sent | {"seed": 1, "store": False, "user": None, "max_completion_tokens": 9}
    call = parse(CHAT, asked, request_id="req_1", body_bytes=100)
    assert orjson.loads(ADAPTERS[target.adapter].request(call, target, None).body) == sent
    assert dropped_of(call, target.dropped_params) == ("seed", "store")


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.id)
def test_no_preset_drops_what_makes_a_request(preset):
    assert not preset.dropped_params & NEVER_DROPPED


@pytest.mark.parametrize(
    ("usd", "nanos"),
    [("0.000001", 1_000), ("0.15", 150_000_000), ("1000000", 10**15), ("0", 0), ("123.456789", 123_456_789_000)],
)
def test_prices_become_nanos_exactly(connect, usd, nanos):
    connect(models=[{"id": "m", "input_price": usd, "output_price": usd, "cached_input_price": usd}])
    row = ServedModel.objects.get()
    assert price_of(row) == Price(input_nanos=nanos, output_nanos=nanos, cached_input_nanos=nanos, version=1)


def test_a_price_per_request_has_nine_decimals(connect):
    connect(models=[{"id": "m", "input_price": "0", "output_price": "0", "request_price": "0.000000001"}])
    assert ServedModel.objects.get().request_price == Decimal("0.000000001")
    assert price_of(ServedModel.objects.get()).request_nanos == 1


def test_a_model_without_price_has_none(acme, connect):
    connect(models=[{"id": "m"}])
    assert load_targets(acme.pk)[0].price is None


def test_everything_about_a_model_arrives(acme, connect, as_system):
    connect(
        org=None,
        actor=as_system,
        simulated=True,
        models=[
            {
                "id": "m",
                "kind": "embedding",
                "weight": 4,
                "context_tokens": 8192,
                "max_output_tokens": 1024,
                "capabilities": ["vision", "tools"],
            }
        ],
    )
    [target] = load_targets(acme.pk)
    assert (target.kind, target.weight, target.simulated) == ("embedding", 4, True)
    assert (target.context_tokens, target.max_output_tokens) == (8192, 1024)
    assert target.capabilities == {"vision", "tools"}
    assert (target.adapter, target.transport) == ("openai", "direct")
