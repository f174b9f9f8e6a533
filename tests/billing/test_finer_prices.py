"""Tiers and kinds of tokens through the book, a charge, its proof, a re-rating: figures by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.audit import Actor
from billing.models import Charge, PriceVersion, Unsettled
from billing.prices import rates_of
from billing.rerating import Rerated, rerate
from common.money import NANOS_PER_USD, request_cost_nanos
from common.rates import TokenDetails
from ledger.invariants import reconcile
from metering.models import Usage
from providers import catalog
from providers.models import ServedModel
from providers.prices import sync_prices
from providers.services import create_connection
from providers.serving import update_model
from providers.sources import price_of
from tests.billing.conftest import record
from tests.metering.records import usage_record

TEN = 10 * NANOS_PER_USD
SYSTEM = Actor.system("tests")
NOW = datetime.now(UTC)
ALWAYS = (NOW - timedelta(days=1), NOW + timedelta(days=1))
FINE = {
    "input_price": "3", "cached_input_price": "0.3", "output_price": "15", "cache_write_price": "3.75",
    "reasoning_price": "12",
    "price_tiers": [
        {"above_tokens": 200_000, "input_price": "6", "output_price": "22.5", "cached_input_price": "0.6"},
    ],
}  # fmt: skip
LONG = {
    "input_tokens": 200_001, "cached_tokens": 100_000, "output_tokens": 1_000,
    "token_details": TokenDetails(cache_write=50_000, reasoning=400),
}  # fmt: skip
LONG_COSTS = 100_001 * 6_000 + 100_000 * 600 + 1_000 * 22_500
"""The tier has no price of its own for what is written to the cache, nor for thoughts."""
SHORT = LONG | {"input_tokens": 200_000}
SHORT_COSTS = 50_000 * 3_000 + 100_000 * 300 + 50_000 * 3_750 + 600 * 15_000 + 400 * 12_000


@pytest.fixture
def fine(sold) -> int:
    """The version of a price with everything."""
    return update_model(sold, SYSTEM, FINE).price_version


def test_a_charge_is_by_the_tier_that_the_prompt_met(wallet, used, sold, fine, balances):
    record(used("req_1", price_version=fine, **LONG), used("req_2", price_version=fine, **SHORT))
    charges = dict(Charge.objects.values_list("request_id", "charge_nanos"))
    assert charges == {"req_1": LONG_COSTS, "req_2": SHORT_COSTS} == {"req_1": 682_506_000, "req_2": 381_300_000}
    assert balances()["acme wallet"] == TEN - LONG_COSTS - SHORT_COSTS
    assert Charge.objects.get(request_id="req_1").token_details == {"cache_write": 50_000, "reasoning": 400}
    assert Usage.objects.get(request_id="req_1").token_details == {"cache_write": 50_000, "reasoning": 400}
    assert reconcile() == []


def test_what_is_sold_is_what_the_book_says(sold, fine):
    sold.refresh_from_db()
    booked = rates_of(PriceVersion.objects.get(target_id=sold.pk, version=fine))
    price = price_of(sold)
    assert price is not None
    assert booked is not None
    assert booked.finer == price.finer
    assert (booked.input_nanos, booked.output_nanos) == (price.input_nanos, price.output_nanos)


def test_rerating_brings_tiers_and_takes_them_back(wallet, used, sold, fine, balances):
    record(used("req_1", price_version=1, **LONG))
    before = Charge.objects.get().charge_nanos
    assert before == 100_001 * 1_000 + 100_000 * 100 + 1_000 * 4_000
    assert rerate(sold.pk, fine, *ALWAYS) == Rerated(1, LONG_COSTS - before)
    assert reconcile() == []
    assert rerate(sold.pk, 1, *ALWAYS) == Rerated(1, before - LONG_COSTS)
    assert balances()["acme wallet"] == TEN - before


@pytest.mark.breaks_invariants
def test_the_proof_finds_a_charge_that_is_not_by_its_tier(wallet, used, sold, fine):
    record(used("req_1", price_version=fine, **LONG))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("ALTER TABLE billing_charge DISABLE TRIGGER USER")
        cursor.execute("UPDATE billing_charge SET token_details = NULL, charge_nanos = charge_nanos - 1")
    assert {fault.invariant for fault in reconcile()} == {"I5", "I7", "I10"}


@pytest.mark.parametrize(
    "details", [TokenDetails(cache_write=150_000), TokenDetails(reasoning=-1), TokenDetails(reasoning=1_001)]
)
def test_details_that_cannot_be_true_charge_nobody(wallet, used, sold, fine, balances, details):
    record(used(price_version=fine, **LONG | {"token_details": details}))
    assert Unsettled.objects.get().reason == "implausible_usage"
    assert balances()["acme wallet"] == TEN


def test_the_book_and_python_agree_on_odd_figures(wallet, used, sold):
    """Both round half up, once, wherever the halves come from."""
    prices = {
        "input_price": "0.4", "output_price": "0.3", "cached_input_price": "0.1", "request_price": "0.000000003",
        "cache_write_price": "0.5", "audio_input_price": "0.000001", "audio_output_price": "0",
        "price_tiers": [{"above_tokens": 5, "input_price": "0.000001", "output_price": "0.000001"}],
    }  # fmt: skip
    version = update_model(sold, SYSTEM, prices).price_version
    sold.refresh_from_db()
    rows = [
        used(
            f"req_{n}", price_version=version, input_tokens=n, cached_tokens=n // 3, output_tokens=n,
            token_details=TokenDetails(n // 4, n // 5, n // 2, n // 3) if n > 1 else None,
        )
        for n in range(12)
    ]  # fmt: skip
    record(*rows)
    expected = {row.request_id: request_cost_nanos(row, price_of(sold)) for row in rows}
    assert dict(Charge.objects.values_list("request_id", "charge_nanos")) == expected
    assert reconcile() == []


def test_a_version_keeps_its_tiers(sold, fine):
    with pytest.raises(DatabaseError, match="changes with its version"), transaction.atomic():
        ServedModel.objects.filter(pk=sold.pk).update(price_tiers=[])


@pytest.fixture
def catalogued(db) -> ServedModel:
    made = create_connection(
        None, SYSTEM, preset="anthropic", name="Anthropic", api_keys=["sk-upstream-0123456789abcdef"],
        models=[{"id": "claude-sonnet-4-5"}],
    )  # fmt: skip
    return made.served_models.get()


def test_tiers_come_with_the_catalogue_and_follow_it(catalogued, monkeypatch):
    assert catalogued.price_source == "catalog"
    assert [tier["above_tokens"] for tier in catalogued.price_tiers] == [200_000]
    assert sync_prices().changed == 0
    known = catalog.find_price("anthropic", "claude-sonnet-4-5")
    tiers = [*known.tiers, {"above_tokens": 500_000, "input_price": "9", "output_price": "30"}]
    newer = replace(known, tiers=tiers)
    monkeypatch.setattr(catalog, "find_prices", lambda preset, names: [newer for _name in names])
    assert sync_prices().changed == 1
    catalogued.refresh_from_db()
    assert catalogued.price_version == 2
    newest = PriceVersion.objects.get(target_id=catalogued.pk, valid_until=None)
    assert [tier.above_tokens for tier in rates_of(newest).finer.tiers] == [200_000, 500_000]


def test_what_the_platform_sells_has_its_margin_on_the_catalogues_price(catalogued, acme, as_alice, settings):
    listed = catalog.find_price("anthropic", "claude-sonnet-4-5")
    own = create_connection(
        acme, as_alice, preset="anthropic", name="Own", api_keys=["sk-upstream-0123456789abcdef"],
        models=[{"id": "claude-sonnet-4-5"}],
    )  # fmt: skip
    settings.PLATFORM_MARGIN_PERCENT = 20
    assert sync_prices().changed == 1
    catalogued.refresh_from_db()
    names = ("input_price", "cached_input_price", "output_price", "cache_write_price")
    assert [getattr(catalogued, name) for name in names] == [
        price * Decimal("1.2") for price in (listed.input, listed.cached_input, listed.output, listed.kinds[names[3]])
    ]
    assert [Decimal(tier["input_price"]) for tier in catalogued.price_tiers] == [
        Decimal(tier["input_price"]) * Decimal("1.2") for tier in listed.tiers
    ]
    assert sync_prices().changed == 0
    assert own.served_models.get().input_price == listed.input
    added = create_connection(
        None, SYSTEM, preset="anthropic", name="Another", api_keys=["sk-upstream-0123456789abcdef"],
        models=[{"id": "claude-sonnet-4-5"}],
    )  # fmt: skip
    assert added.served_models.get().input_price == catalogued.input_price


def test_of_a_synced_price_the_provider_gets_what_it_lists(catalogued, acme, fund, balances, settings):
    listed = catalog.find_price("anthropic", "claude-sonnet-4-5")
    settings.PLATFORM_MARGIN_PERCENT = 20
    sync_prices()
    catalogued.refresh_from_db()
    fund(acme, 10 * NANOS_PER_USD)
    record(
        usage_record(
            "req_1", org_id=acme.pk, target_id=catalogued.pk, price_version=catalogued.price_version,
            input_tokens=1000, cached_tokens=0, output_tokens=500, billing_reason="completed",
            started_at=NOW.isoformat(),
        )
    )  # fmt: skip
    cost = int(listed.input * 1_000_000 + listed.output * 500_000)
    assert (balances()["provider_cost"], balances()["revenue"]) == (cost, cost // 5)


def test_a_price_that_a_person_entered_has_its_margin_in_it(catalogued, settings):
    settings.PLATFORM_MARGIN_PERCENT = 20
    update_model(catalogued, SYSTEM, {"input_price": "4", "output_price": "16"})
    assert sync_prices().changed == 0
    catalogued.refresh_from_db()
    assert (catalogued.input_price, catalogued.output_price) == (4, 16)


def test_tiers_of_ones_own_stay_when_the_catalogue_changes(catalogued):
    update_model(catalogued, SYSTEM, {"price_tiers": []})
    catalogued.refresh_from_db()
    assert (catalogued.price_source, catalogued.price_tiers, catalogued.price_version) == ("manual", [], 2)
    assert sync_prices().changed == 0
    update_model(catalogued, SYSTEM, {"input_price": None, "output_price": None})
    catalogued.refresh_from_db()
    assert catalogued.price_source == "catalog"
    assert len(catalogued.price_tiers) == 1
