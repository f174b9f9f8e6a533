from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.keys import create_key
from console.api import usage
from console.api.usage import FiguresShown
from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
SPAN = {"from": "2026-11-18", "to": "2026-11-23"}
COUNTS = ("requests", "errors", "tokens", "input_tokens", "cached_tokens", "output_tokens")


@pytest.fixture
def three_days(acme, as_alice, log):
    key = create_key(acme, as_alice, name="App", scopes=["inference"], created_by=None).key
    log(at=NOON - timedelta(days=1), model="fast", cost_nanos=123_456_789, ttft_ms=100)
    log(at=NOON, key=key, model="slow", target="dear/slow", cost_nanos=1, ttft_ms=None, route="")
    log(at=NOON, key=key, model="fast", status=502, error_code="provider_unavailable", cost_nanos=0, output_tokens=0)
    log(at=NOON + timedelta(days=1), model="=cmd()", cost_nanos=2_000_000_000)
    return key


def csv_of(response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.getvalue().decode())))


def test_sums_by_model(api, three_days):
    report = api.get("usage", **SPAN, group_by="model").json()
    rows = {row["model"]: row for row in report["data"]}
    assert rows["fast"] == {
        "model": "fast",
        "requests": 2,
        "errors": 1,
        "tokens": 250,
        "input_tokens": 200,
        "cached_tokens": 20,
        "output_tokens": 50,
        "cache_hits": 0,
        "cost_usd": "0.123456789",
        "spend_usd": "0.123456789",
        "charged_usd": "0",
        "tokens_usd": "0",
        "own_usd": "0.123456789",
        "saved_usd": "0",
        "ttft_ms": 110.0,
        "ttft_p50_ms": 116.0,
        "duration_ms": 400.0,
        "duration_p50_ms": 399.5,
        "duration_p99_ms": 443.1,
    }
    assert rows["slow"]["cost_usd"] == "0.000000001"
    assert rows["slow"]["ttft_ms"] is None
    assert (report["object"], report["has_more"], report["next_cursor"]) == ("list", False, None)
    assert (report["total"]["requests"], report["total"]["cost_usd"]) == (4, "2.12345679")


def test_without_a_group_there_is_one_row_the_total(api, three_days):
    report = api.get("usage", **SPAN).json()
    assert report["data"] == [report["total"]]


def test_keys_go_by_their_public_id(api, three_days):
    rows = api.get("usage", **SPAN, group_by="key").json()["data"]
    assert {row["key"]: row["requests"] for row in rows} == {None: 2, three_days.public_id: 2}


def test_days_are_those_of_a_time_zone(api, three_days):
    days = [row["day"] for row in api.get("usage", **SPAN, group_by="day").json()["data"]]
    assert days == ["2026-11-19", "2026-11-20", "2026-11-21"]
    rows = api.get("usage", **SPAN, group_by="day", time_zone="Pacific/Auckland").json()["data"]
    assert [row["day"] for row in rows] == ["2026-11-20", "2026-11-21", "2026-11-22"]


def test_hours_and_several_groups(api, three_days):
    rows = api.get("usage", **SPAN, group_by="hour,target").json()["data"]
    assert (rows[0]["hour"], rows[0]["target"]) == ("2026-11-19T12:00:00+00:00", "upstream/small")
    assert len(rows) == 4


def test_the_span_begins_with_its_first_moment_and_ends_before_its_last(api, log):
    log(at=NOON)
    moment, later = NOON.isoformat(), (NOON + timedelta(seconds=1)).isoformat()
    assert api.get("usage", from_=moment, to=later).json()["total"]["requests"] == 1
    earlier = (NOON - timedelta(seconds=1)).isoformat()
    assert api.get("usage", from_=earlier, to=moment).json()["total"]["requests"] == 0


@pytest.mark.parametrize(
    "group_by", ["", "model", "route", "target", "key", "day", "hour", "model,key,day", "day,route"]
)
def test_csv_and_json_tell_the_same(api, three_days, group_by):
    report = api.get("usage", **SPAN, group_by=group_by).json()
    response = api.get("usage", **SPAN, group_by=group_by, format="csv")
    rows = csv_of(response)
    assert response["Content-Type"].startswith("text/csv")
    assert len(rows) == len(report["data"]) > 0
    for name in COUNTS:
        assert sum(int(row[name]) for row in rows) == report["total"][name]
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(report["total"]["cost_usd"])
    names = [*filter(None, group_by.split(",")), *FiguresShown().fields]
    for told, row in zip(report["data"], rows, strict=True):
        assert list(row) == names == list(told)
        same = {name: "" if value is None else str(value) for name, value in told.items()}
        assert {name: cell.removeprefix("'") for name, cell in row.items()} == same


def test_a_cell_is_no_formula(api, three_days):
    cells = {row["model"] for row in csv_of(api.get("usage", **SPAN, group_by="model", format="csv"))}
    assert "'=cmd()" in cells
    assert "=cmd()" not in cells


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": "day,hour"}, "group_by"),
        ({"from": "2026-11-20", "to": "2026-11-20"}, "to"),
        ({"from": "yesterday"}, "from"),
        ({"to": "0001-01-01"}, "to"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "to"),
        ({"time_zone": "Mars/Phobos"}, "time_zone"),
        ({"format": "xlsx"}, "format"),
    ],
)
def test_a_mistake_is_refused_with_its_parameter(api, query, param):
    assert refused(api.get("usage", **query), 400, "invalid_request", param)


def test_a_report_too_long_to_give_is_refused(api, three_days, monkeypatch):
    monkeypatch.setattr(usage, "MOST_ROWS", 2)
    assert refused(api.get("usage", **SPAN, group_by="model"), 400, "invalid_request", "group_by")
    assert api.get("usage", **SPAN, group_by="key").status_code == 200
