"""The models of a connection and their prices: whose figure it is, and which version."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.management import call_command

from accounts.models import AuditEvent
from providers import catalog, services
from providers.errors import InvalidConnection
from providers.models import ServedModel

pytestmark = pytest.mark.django_db

MINI = {"id": "gpt-4o-mini"}


@pytest.fixture
def openai(connect):
    return connect(preset="openai", name="OpenAI", base_url=None, models=[MINI])


def model(name: str = "gpt-4o-mini") -> ServedModel:
    return ServedModel.objects.select_related("connection__org").get(model_id=name)


def test_a_known_model_takes_the_catalogue_s_price_and_context(openai):
    listed = catalog.find_price("openai", "gpt-4o-mini")
    row = model()
    assert (row.input_price, row.output_price, row.cached_input_price) == (
        listed.input,
        listed.output,
        listed.cached_input,
    )
    assert (row.price_source, row.price_version, row.context_tokens) == ("catalog", 1, listed.context_tokens)


def test_an_unknown_model_has_no_price(connect):
    connect(models=[{"id": "who-knows"}])
    row = model("who-knows")
    assert (row.price_source, row.input_price) == ("none", None)


def test_an_own_price_wins_and_has_a_new_version(acme, as_alice, openai):
    services.update_model(model(), as_alice, {"input_price": "0.10", "output_price": "0.40"})
    row = model()
    assert (row.input_price, row.output_price, row.price_source, row.price_version) == (
        Decimal("0.10"),
        Decimal("0.40"),
        "manual",
        2,
    )
    event = AuditEvent.objects.of(acme).order_by("-sequence")[0]
    assert (event.action, event.after["price_version"]) == ("model.updated", 2)


def test_taking_the_own_price_away_brings_the_catalogue_s_back(as_alice, openai):
    listed = catalog.find_price("openai", "gpt-4o-mini")
    services.update_model(model(), as_alice, {"input_price": "9", "output_price": "9", "cached_input_price": "1"})
    services.update_model(model(), as_alice, {"input_price": "", "output_price": ""})
    row = model()
    assert (row.input_price, row.cached_input_price) == (listed.input, listed.cached_input)
    assert (row.price_source, row.price_version) == ("catalog", 3)


def test_other_changes_leave_price_and_version(as_alice, openai):
    services.update_model(model(), as_alice, {"enabled": False, "weight": 5, "capabilities": ["tools"]})
    row = model()
    assert (row.enabled, row.weight, row.capabilities) == (False, 5, ["tools"])
    assert (row.price_source, row.price_version) == ("catalog", 1)


def test_renaming_checks_the_others(as_alice, connect):
    connect(models=[{"id": "one"}, {"id": "two"}])
    with pytest.raises(InvalidConnection, match="twice"):
        services.update_model(model("one"), as_alice, {"id": "two"})
    assert services.update_model(model("one"), as_alice, {"id": "three"}).upstream_id == "one"


def test_setting_the_list_keeps_rows_and_own_prices(as_alice, openai):
    services.update_model(model(), as_alice, {"input_price": "0.10", "output_price": "0.40"})
    before = model()
    services.set_models(openai, as_alice, [MINI, {"id": "gpt-4o"}])
    after = model()
    assert (after.pk, after.price_source, after.price_version) == (before.pk, "manual", 2)
    services.set_models(openai, as_alice, [{"id": "gpt-4o"}])
    assert [row.model_id for row in openai.served_models.all()] == ["gpt-4o"]


def test_setting_the_same_list_leaves_no_event(acme, as_alice, openai):
    count = AuditEvent.objects.of(acme).count()
    services.set_models(openai, as_alice, [MINI])
    assert AuditEvent.objects.of(acme).count() == count


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"input_price": "1", "output_price": ""}, "output_price"),
        ({"input_price": "", "output_price": "1"}, "input_price"),
        ({"colour": "blue"}, "colour"),
        ({"kind": "song"}, "kind"),
    ],
)
def test_a_refusal_names_the_field(as_alice, openai, given, field):
    with pytest.raises(InvalidConnection) as refusal:
        services.update_model(model(), as_alice, given)
    assert refusal.value.param == field


def test_an_embedding_model_costs_nothing_for_output(connect):
    connect(models=[{"id": "e", "kind": "embedding", "input_price": "0.02"}])
    assert model("e").output_price == 0


def test_the_sync_touches_only_the_catalogue_s_own_prices(acme, as_alice, openai, capsys):
    services.set_models(openai, as_alice, [MINI, {"id": "gpt-4o", "input_price": "1", "output_price": "2"}])
    ServedModel.objects.update(input_price="7", price_version=2)
    version = type(acme).objects.get(pk=acme.pk).version
    call_command("sync_prices")
    assert capsys.readouterr().out == "1 of 1 prices changed.\n"
    listed = catalog.find_price("openai", "gpt-4o-mini")
    assert (model().input_price, model().price_version) == (listed.input, 3)
    assert model("gpt-4o").input_price == 7
    assert type(acme).objects.get(pk=acme.pk).version > version


def test_a_second_sync_changes_nothing(acme, openai, capsys):
    version = type(acme).objects.get(pk=acme.pk).version
    call_command("sync_prices")
    assert capsys.readouterr().out == "0 of 1 prices changed.\n"
    assert type(acme).objects.get(pk=acme.pk).version == version
