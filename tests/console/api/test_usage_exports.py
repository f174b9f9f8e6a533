"""Exports and statements through the API say what the pages say."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest

from metering import exports, tasks
from metering.models import UsageExport
from tests.console.activity import statement_of
from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db


def file_of(api, export) -> str:
    return b"".join(api.get(f"usage/exports/{export['id']}/file")).decode()


@pytest.mark.parametrize("format", ["csv", "json"])
def test_an_export_is_asked_for_and_downloaded(api, acme, log, format):
    log(model="=cmd()", cost_nanos=1)
    log(model="other", cost_nanos=2)
    made = api.post("usage/exports", {"format": format, "model": "=cmd()"}).json()
    assert (made["state"], made["total"], made["done"]) == ("done", 1, 1)
    assert api.get(f"usage/exports/{made['id']}").json() == made
    assert api.get("usage/exports").json()["data"] == [made]
    text = file_of(api, made)
    rows = json.loads(text) if format == "json" else list(csv.DictReader(io.StringIO(text)))
    assert [row["cost_usd"] for row in rows] == ["0.000000001"]
    assert rows[0]["model"].removeprefix("'") == "=cmd()"
    assert api.delete(f"usage/exports/{made['id']}").status_code == 204
    assert api.get("usage/exports").json()["data"] == []


def test_a_large_one_is_followed_until_it_is_done(api, acme, log, monkeypatch):
    monkeypatch.setattr(exports, "AT_ONCE", 2)
    handed = []
    monkeypatch.setattr("console.api.usage_exports.hand_over_export", handed.append)
    for _ in range(5):
        log()
    made = api.post("usage/exports", {}).json()
    assert (made["state"], made["total"]) == ("waiting", 5)
    assert refused(api.get(f"usage/exports/{made['id']}/file"), 404, "not_found")
    assert handed == [UsageExport.objects.get().pk]
    tasks.write_export(handed[0])
    assert api.get(f"usage/exports/{made['id']}").json()["state"] == "done"
    assert len(file_of(api, made).splitlines()) == 6


def test_one_that_has_failed_is_tried_again(api, acme, log, monkeypatch):
    log()
    made = api.post("usage/exports", {}).json()
    assert api.post(f"usage/exports/{made['id']}/retry", {}).json() == made  # it is done, and stays so
    UsageExport.objects.update(state=UsageExport.FAILED, failures=5)
    handed = []
    monkeypatch.setattr("console.api.usage_exports.hand_over_export", handed.append)
    again = api.post(f"usage/exports/{made['id']}/retry", {}).json()
    assert (again["state"], handed) == ("running", [UsageExport.objects.get().pk])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"format": "xlsx"}, "format"),
        ({"from": "2026-11-20", "to": "2026-11-19"}, "to"),
        ({"from": "yesterday"}, "from"),
        ({"colour": "red"}, "colour"),
        ({"model": 7}, "model"),
    ],
)
def test_a_mistake_is_refused_with_its_field(api, body, param):
    assert refused(api.post("usage/exports", body), 400, "invalid_request", param)
    assert not UsageExport.objects.exists()


def test_statements_add_up_in_json_and_csv(api, acme):
    row = statement_of(acme)
    (listed,) = api.get("billing/statements").json()["data"]
    shown = api.get(f"billing/statements/{row.public_id}").json()
    assert shown == listed
    (wallet,) = shown["accounts"]
    moved = sum(Decimal(one["amount_usd"]) for one in wallet["movements"])
    assert Decimal(wallet["opening_usd"]) + moved == Decimal(wallet["closing_usd"])
    assert (shown["month"], shown["usage"][0]["charged_usd"]) == ("2026-10", "2")
    text = api.get(f"billing/statements/{row.public_id}", format="csv").content.decode()
    lines = [line for line in csv.DictReader(io.StringIO(text)) if line["section"] == "wallet"]
    amounts = {line["what"]: Decimal(line["amount_usd"]) for line in lines}
    closing = amounts.pop("closing")
    assert sum(amounts.values()) == closing == Decimal("8.000000012")
