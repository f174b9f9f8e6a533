"""Activity: groups beside the time before, filters and order in the address, drill-down, other prices, files."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.audit import Actor
from bench.activity import asked_of, fill, sum_up
from console.same_traffic import cost_of_all
from console.spans import span_of
from metering import rollups
from metering.reports import UsageRow, usage_report
from providers.serving import update_model
from providers.targets import Price
from tests.console.api.conftest import Api
from tests.console.pages.conftest import answered, record

DAY_S = 86_400


def context_of(browser, query=""):
    response = browser.get(reverse("activity") + query)
    assert response.status_code == 200
    return response.context


def labels(context):
    return [shown.line.label for shown in context["rows"]]


@pytest.fixture
def weeks(acme, key, alice, log):
    """This week three as in the log and these; the week before, one."""
    record(acme, key, 60, model="big", route="fast", target="node/desk/big", cost_nanos=5_000, user_id=alice.pk)
    record(acme, None, 90, model="hit", cache="HIT", saved_nanos=900, cost_nanos=0, billing_reason="cached")
    record(acme, key, 8 * DAY_S, model="big", cost_nanos=2_500)
    return key


def test_groups_stand_beside_the_time_before(as_browser, alice, weeks):
    context = context_of(as_browser(alice))
    big = next(shown.line for shown in context["rows"] if shown.line.label == "big")
    assert (big.row.spend_nanos, big.before.spend_nanos) == (5_000, 2_500)
    assert (context["total"].requests, context["before"].requests) == (5, 1)
    assert "+100.0 %" in as_browser(alice).get(reverse("activity")).content.decode()


@pytest.mark.parametrize(
    ("group", "filters", "found"),
    [
        ("node", "", {"desk": 1, "no machine: providers": 4}),
        ("member", "", {"Alice": 1, "none": 4}),
        ("model", "&route=fast", {"big": 1}),
        ("route", "&node=desk", {"fast": 1}),
        ("model", "&key=0", {"hit": 1}),
        ("model", "&key=99999999999999999999", {}),
        ("model", "&model=big%00", {"big": 1}),
        ("target", "&model=hit", {"none answered, or from memory": 1}),
    ],
)
def test_filters_narrow_every_figure(as_browser, alice, weeks, group, filters, found):
    context = context_of(as_browser(alice), f"?group={group}{filters}&figure=requests")
    assert {shown.line.label: shown.line.row.requests for shown in context["rows"]} == found
    assert context["total"].requests == sum(found.values())
    assert sum(sum(series["data"]) for series in context["chart"]["series"]) == sum(found.values())
    assert len(context["chips"]) == bool(filters)


def test_a_filter_comes_off_and_a_group_opens(as_browser, alice, weeks):
    browser = as_browser(alice)
    context = context_of(browser, "?range=7d&group=model&model=big")
    (chip,) = context["chips"]
    assert "big" in labels(context_of(browser, chip.without))
    inside = context_of(browser, context["rows"][0].inside)
    assert (inside["said"]["group"], labels(inside)) == ("target", ["node/desk/big"])


def test_a_bar_leads_to_the_requests_of_its_time_and_group(as_browser, alice, weeks):
    browser = as_browser(alice)
    chart = browser.get(reverse("activity"), {"range": "7d", "group": "model", "figure": "requests"}).context["chart"]
    for series in chart["series"]:
        for place, requests in zip(chart["links"], series["data"], strict=True):
            assert len(browser.get(place + series["narrow"]).context["lines"]) == requests
    assert len(chart["links"]) == len(chart["labels"]) == 7


def test_a_line_leads_to_its_requests(as_browser, alice, weeks, acme):
    browser = as_browser(alice)
    for group, label in (
        ("model", "big"),
        ("node", "desk"),
        ("member", "Alice"),
        ("route", "fast"),
        ("key", weeks.name),
    ):
        context = context_of(browser, f"?group={group}")
        line = next(shown.line for shown in context["rows"] if shown.line.label == label)
        log = browser.get(line.logs)
        assert len(log.context["lines"]) == line.row.requests
        assert group in {chip.name for chip in log.context["chips"]} | {"key", "model"}


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("name", "big"),
        ("-name", "nope"),
        ("-spend", "demo-chat"),
        ("spend", "hit"),
        ("-saved", "hit"),
        ("-x", "demo-chat"),
    ],
)
def test_the_order_is_in_the_address(as_browser, alice, weeks, sort, first):
    assert labels(context_of(as_browser(alice), f"?sort={sort}"))[0] == first


def test_many_groups_come_in_pages(as_browser, alice, acme, weeks):
    for number in range(60):
        record(acme, weeks, 30, model=f"m{number:02}")
    browser = as_browser(alice)
    first, second = context_of(browser, "?sort=name"), context_of(browser, "?sort=name&page=2")
    assert len(set(labels(first) + labels(second))) == first["groups"] == 64
    assert first["pager"]["next"].endswith("page=2")
    for strange in ("0", "99", "x", "-1", "1" * 30):
        assert context_of(browser, f"?page={strange}")["rows"]


def test_days_of_ones_own_choice(as_browser, alice, weeks):
    browser = as_browser(alice)
    day = (timezone.now() - timedelta(days=8)).date()
    context = context_of(browser, f"?range=custom&start={day}&end={day}")
    assert labels(context) == ["big"]
    assert context["span"].unit == "hour"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("start=2026-11-20", "end"),
        ("start=yesterday&end=2026-11-20", "start"),
        ("start=2026-11-20&end=2026-11-19", "end"),
        ("start=2024-11-20&end=2026-11-19", "end"),
        ("start=0001-01-01&end=2026-11-19", "start"),
    ],
)
def test_wrong_days_are_told_beside_their_field(as_browser, alice, weeks, query, field):
    context = context_of(as_browser(alice), f"?range=custom&{query}")
    assert context["form"].errors[field]
    assert context["said"]["range"] == "7d"


def test_days_on_the_page_are_those_of_the_organisation(as_browser, alice, acme, weeks):
    acme.time_zone = "Asia/Bangkok"
    acme.save(update_fields=["time_zone"])
    browser = as_browser(alice)
    today = timezone.now().astimezone(ZoneInfo("Asia/Bangkok")).date()
    shown = browser.get(reverse("activity")).content.decode()
    assert f'name="start" value="{today - timedelta(days=6)}"' in shown
    assert f'name="end" value="{today}"' in shown
    assert "00:00 up to" in browser.get(reverse("activity-exports") + "?range=7d").content.decode()


def test_nothing_says_what_to_do(as_browser, alice, acme):
    shown = as_browser(alice).get(reverse("activity")).content.decode()
    assert "Nothing in this time" in shown
    assert "Clear filters" in as_browser(alice).get(reverse("activity") + "?model=none").content.decode()


def test_the_same_traffic_elsewhere(as_browser, alice, acme, connection, key):
    record(acme, key, 5, attempts=[answered("aurora/demo-chat")], input_tokens=1000, output_tokens=100, cost_nanos=7)
    record(acme, key, 5, cache="HIT", input_tokens=9999, output_tokens=9999, cost_nanos=0)
    browser = as_browser(alice)
    for headers in ({}, {"HX-Request": "true"}):
        same = browser.get(reverse("activity-same"), headers=headers).context["same"]
        offer = next(one for one in same.offers if one.target == "aurora/demo-chat")
        assert offer.nanos == 1000 * 500 + 100 * 1500
        assert offer.difference == offer.nanos - 7


@pytest.mark.parametrize("prompt_hash", [7, -7])
def test_a_prompt_leads_to_its_requests(as_browser, alice, acme, key, prompt_hash):
    for cost_nanos in (5, 6):
        record(acme, key, 9, prompt_hash=prompt_hash, cost_nanos=cost_nanos)
    record(acme, key, 9, prompt_hash=8)
    browser = as_browser(alice)
    insight = browser.get(reverse("activity-insight"))
    name = next(row.prompt.name for row in insight.context["prompts"] if row.prompt.hash == prompt_hash)
    address = f"{reverse('logs')}?prompt={name}"
    assert address in insight.content.decode()
    lines = browser.get(address).context["lines"]
    assert sorted(line.usage.cost_nanos for line in lines) == [5, 6]
    assert len(browser.get(f"{reverse('logs')}?prompt=nothing").context["lines"]) == 3


def test_the_same_traffic_costs_what_each_tier_says(as_browser, alice, acme, connection, key):
    """On the page and by the API, before the hours are summed and after: as each request would be charged."""
    tier = {"above_tokens": 200_000, "input_price": "2", "output_price": "6"}
    served = connection.served_models.get(model_id="demo-chat")
    update_model(served, Actor.system("tests"), {"input_price": "1", "output_price": "4", "price_tiers": [tier]})
    answer = {"attempts": [answered("aurora/demo-chat")], "output_tokens": 100, "cost_nanos": 7}
    for input_tokens in (1_000, 128_001, 200_000, 200_001, 400_000):
        record(acme, key, 5, input_tokens=input_tokens, **answer)
    wanted = 1_000 * (1_000 + 128_001 + 200_000 + 2 * (200_001 + 400_000)) + 4_000 * 300 + 6_000 * 200
    for _ in range(2):
        same = as_browser(alice).get(reverse("activity-same")).context["same"]
        offer = next(one for one in same.offers if one.target == "aurora/demo-chat")
        assert offer.nanos == wanted
        said = Api(as_browser(alice)).get("usage/same-traffic").json()
        found = next(one for one in said["targets"] if one["target"] == "aurora/demo-chat")
        assert (said["requests"], said["spend_usd"]) == (5, "0.000000035")
        assert (Decimal(found["cost_usd"]) * 10**9, found["has_tiers"]) == (wanted, True)
        assert Decimal(found["difference_usd"]) * 10**9 == wanted - 35
        assert (found["input_usd"], found["output_usd"], found["is_rough"]) == ("1", "4", False)
        rollups.roll_up()


def test_a_tier_that_begins_within_a_step_goes_by_its_average_prompt(as_browser, alice, acme, connection, key):
    tier = {"above_tokens": 20_000, "input_price": "2", "output_price": "4"}
    served = connection.served_models.get(model_id="demo-chat")
    update_model(served, Actor.system("tests"), {"input_price": "1", "output_price": "4", "price_tiers": [tier]})
    for input_tokens in (17_000, 31_000, 300):
        record(acme, key, 5, attempts=[answered("aurora/demo-chat")], input_tokens=input_tokens, output_tokens=0)
    response = as_browser(alice).get(reverse("activity-same"))
    offer = next(one for one in response.context["same"].offers if one.target == "aurora/demo-chat")
    assert (offer.nanos, offer.is_rough) == (2_000 * 48_000 + 1_000 * 300, True)
    assert "≈" in response.content.decode()


def test_what_each_request_costs_is_counted_for_each():
    nothing = dict.fromkeys(UsageRow.__slots__[7:], 0)
    row = UsageRow(**nothing | {"requests": 3, "input_tokens": 10})
    assert cost_of_all(row, Price(1_000_000, 0, request_nanos=5)) == 10 + 15
    assert cost_of_all(UsageRow(**nothing), Price(1, 1, request_nanos=5)) == 0


def test_the_files_say_what_the_page_says(as_browser, alice, acme, weeks):
    record(acme, weeks, 5, model="=cmd()", cost_nanos=3)
    browser = as_browser(alice)
    total = context_of(browser)["total"]
    rows = json.loads(browser.get(reverse("activity-export") + "?format=json").getvalue())
    lines = list(csv.DictReader(io.StringIO(browser.get(reverse("activity-export")).getvalue().decode())))
    assert len(rows) == len(lines) > 3
    for found in (rows, lines):
        assert sum(int(row["requests"]) for row in found) == total.requests
        assert sum(round(float(row["spend_usd"]) * 1e9) for row in found) == total.spend_nanos
    assert "'=cmd()" in {line["model"] for line in lines}
    assert json.loads(browser.get(reverse("activity-export") + "?format=json&model=none").getvalue()) == []


@pytest.mark.parametrize("zone", ["UTC", "Asia/Bangkok", "America/New_York", "Asia/Kolkata", "America/Havana"])
@pytest.mark.parametrize("name", ["24h", "7d", "30d", "month", "custom"])
def test_spans_are_whole_and_the_time_before_is_as_long(name, zone):
    now = datetime(2026, 11, 5, 10, 20, tzinfo=UTC)
    span = span_of(name, ZoneInfo(zone), now, date(2026, 10, 30), date(2026, 11, 3))
    starts = span.starts()
    assert starts[0] == span.start
    assert len({span.place_of(start) for start in starts}) == len(starts)
    assert span.before[1] <= span.moments[0]
    passed = min(span.moments[1], now + timedelta(hours=1)) - span.moments[0]
    assert abs((span.before[1] - span.before[0]) - passed) <= timedelta(hours=2)


def test_home_and_activity_say_the_same_of_today(as_browser, alice, acme, weeks):
    rollups.roll_up()
    home = as_browser(alice).get(reverse("home")).context["today"].total
    today = timezone.now().date()
    activity = context_of(as_browser(alice), f"?range=custom&start={today}&end={today}")["total"]
    assert (home.spend_nanos, home.requests) == (activity.spend_nanos, activity.requests)


def test_pages_ask_little_however_much_there_is(as_browser, alice, acme):
    """A long run of the same is `python -m bench.activity --rows 10000000`."""
    acme.time_zone = "Asia/Bangkok"
    acme.save(update_fields=["time_zone"])
    fill(acme, rows=5_000, days=12, keys=6, now=timezone.now())
    sum_up()
    browser = as_browser(alice)
    for query in ("?range=24h", "?range=30d", "?range=30d&group=key&key=1&member=1", "?range=month&group=member"):
        status, statements = asked_of(browser, reverse("activity") + query)
        assert status == 200
        assert statements <= 15, query
    assert asked_of(browser, reverse("activity-same") + "?range=30d")[1] <= 15
    span = span_of("30d", ZoneInfo("Asia/Bangkok"), timezone.now())
    assert usage_report(acme, *span.moments)[0].requests == 5_000
