"""What Activity says was charged is what the ledger took from the wallet, to the last unit, however it is cut."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.audit import Actor
from billing import monthly
from billing.models import Charge, MonthlyStatement
from billing.monthly import Document
from billing.rerating import rerate
from common.money import usd_text
from ledger.models import Entry
from metering import exports, retention, rollups
from metering.reports import DAY, Narrowed, usage_report
from providers.serving import update_model
from tests.billing.conftest import COST, record
from tests.billing.test_settlement import answered_by
from tests.billing.test_settlement import leased as leased
from tests.billing.test_settlement import tokens as tokens

GROUPS = ("model", "route", "target", "node", "key", "member")


@pytest.fixture
def traffic(acme, fund, used, sold):
    """Paid, written off in part, at an own provider, without a price, from memory; over ten days."""
    fund(acme, 5 * COST + 1)
    now = timezone.now()
    for number in range(8):
        at = (now - timedelta(days=number, minutes=7 * number)).isoformat()
        record(
            used(f"req_{number}", started_at=at, cost_nanos=COST, route=f"r{number % 3}", key_id=number % 2 or None)
        )
        if number == 3:
            rollups.roll_up()
    own = {"target_id": 999_999, "cost_nanos": 77, "target": "mine/fast"}
    record(used("req_own", **own), used("req_huge", input_tokens=10**12, cached_tokens=0, cost_nanos=5))
    record(
        used("req_hit", target_id=None, target="", billing_reason="cached", cost_nanos=0, cache="HIT", saved_nanos=9)
    )
    version = update_model(sold, Actor.system("tests"), {"input_price": "0.5", "output_price": "1"}).price_version
    rerate(sold.pk, version, now - timedelta(days=2), now + DAY)
    return now


def taken(acme, **lookups) -> int:
    moves = Entry.objects.filter(account__org=acme, account__kind="wallet", **lookups)
    return -sum(moves.filter(transfer__kind__in=("settlement", "rerating")).values_list("amount", flat=True))


def taken_of_tokens(acme) -> int:
    moves = Entry.objects.filter(account__org=acme, account__kind="tokens", amount__lt=0)
    return -sum(moves.values_list("amount", flat=True))


def charged_in(acme, from_: datetime, to: datetime) -> int:
    charges = Charge.objects.filter(org_id=acme.pk, started_at__gte=from_, started_at__lt=to)
    return sum(one.charge_nanos - one.written_off_nanos for one in charges)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Bangkok", "Asia/Kolkata"])
def test_every_grouping_adds_up_to_the_ledger(acme, alice, traffic, client_of, zone):
    acme.time_zone = zone
    acme.save()
    for _ in range(2):
        for group in GROUPS:
            address = f"{reverse('activity')}?range=30d&group={group}"
            context = client_of(alice).get(address).context
            assert context["total"].charged_nanos == taken(acme) > 0
            assert sum(shown.line.row.charged_nanos for shown in context["rows"]) == taken(acme)
            assert context["total"].own_nanos == 77
            assert context["total"].spend_nanos == taken(acme) + 77
            assert context["total"].saved_nanos == 9
            drawn = sum(sum(series["data"]) for series in context["chart"]["series"])
            assert drawn == pytest.approx(context["total"].spend_nanos / 1e9)
        rollups.roll_up()


def test_an_answer_of_several_targets_counts_with_all_its_parts(acme, fund, used, sold):
    fund(acme, 10 * COST)
    part = {"target_id": sold.pk, "version": 1, "input": 1000, "output": 100, "cost": 1_400_000}
    record(used("req_parts", started_at=timezone.now().isoformat(), **answered_by(part, part)))
    now = timezone.now()
    for _ in range(2):
        (row,) = usage_report(acme, now - DAY, now + timedelta(seconds=1))
        assert row.charged_nanos == taken(acme) == 2_800_000
        rollups.roll_up()


def test_an_own_target_and_one_that_is_sold_each_count_with_their_part(acme, alice, fund, used, sold, client_of):
    fund(acme, 10 * COST)
    own = {"target_id": 999_999, "version": 1, "input": 1000, "output": 50, "cost": 700}
    cloud = {"target_id": sold.pk, "version": 1, "input": 1000, "output": 100, "cost": 1_400_000}
    huge = cloud | {"input": 10**12, "cost": 3}  # set aside: nobody pays it
    lost = own | {"charged": False}  # a hedge that was forestalled
    now = timezone.now()
    record(
        used("req_1", started_at=now.isoformat(), **answered_by(own, cloud)),
        used("req_2", started_at=now.isoformat(), **answered_by(cloud, own)),
        used("req_3", started_at=now.isoformat(), **answered_by(own, huge)),
        used("req_4", started_at=now.isoformat(), **answered_by(own, own)),
        used("req_5", started_at=now.isoformat(), attempts=answered_by(lost, cloud)["attempts"][:1], cost_nanos=COST),
    )
    for _ in range(2):
        (row,) = usage_report(acme, now - DAY, now + timedelta(seconds=1))
        assert row.charged_nanos == taken(acme) == 2 * 1_400_000 + COST
        assert row.own_nanos == 5 * 700
        for group in GROUPS:
            total = client_of(alice).get(f"{reverse('activity')}?group={group}").context["total"]
            assert total.spend_nanos == taken(acme) + 5 * 700
        rollups.roll_up()


def test_what_tokens_paid_is_told_apart_from_credits(acme, alice, used, leased, client_of, sold):
    """Each ties with its own account of the ledger, in every grouping, file and sum; credits take corrections."""
    now = timezone.now()
    at = {"started_at": now.isoformat(), "target": "up/fast", "key_id": 7}
    record(used("req_1", **at, **leased(tokens=600_000, wallet=COST - 600_000)), used("req_2", **at))
    part = {"target_id": sold.pk, "version": 1, "input": 1000, "output": 100, "cost": 1_400_000}
    record(used("req_3", **at | answered_by(part, part), **leased(tokens=400_000, wallet=2_400_000)))
    version = update_model(sold, Actor.system("tests"), {"input_price": "0.9", "output_price": "4"}).price_version
    rerate(sold.pk, version, now - DAY, now + DAY)
    assert taken_of_tokens(acme) == 1_000_000
    for _ in range(2):
        for group in GROUPS:
            context = client_of(alice).get(f"{reverse('activity')}?group={group}").context
            total = context["total"]
            assert (total.charged_nanos, total.tokens_nanos) == (taken(acme), taken_of_tokens(acme))
            assert total.spend_nanos == taken(acme) + taken_of_tokens(acme)
            assert sum(shown.line.row.tokens_nanos for shown in context["rows"]) == taken_of_tokens(acme)
            assert sum(sum(series["data"]) for series in context["chart"]["series"]) == pytest.approx(
                total.spend_nanos / 1e9
            )
        rollups.roll_up()
    page = client_of(alice).get(f"{reverse('activity')}?sort=-by_tokens").content.decode()
    assert '<span title="$0.001">$0.001 paid with your tokens</span>' in page
    begun = exports.begin(acme, Actor.system("tests"), now - DAY, now + DAY, "json", Narrowed())
    lines = json.loads(exports.piece(begun.pk, 0))
    assert sum(Decimal(line["charged_usd"]) for line in lines) == Decimal(usd_text(taken(acme)))
    assert [line["tokens_usd"] for line in lines] == ["0.000600000", "0.000000000", "0.000400000"]


def test_an_export_and_a_statement_tell_of_each_part(acme, fund, used, sold):
    fund(acme, 10 * COST)
    own = {"target_id": 999_999, "version": 1, "input": 1000, "output": 50, "cost": 700}
    cloud = {"target_id": sold.pk, "version": 1, "input": 1000, "output": 100, "cost": 1_400_000}
    now = timezone.now()
    record(used("req_1", started_at=now.isoformat(), target="mine/fast", **answered_by(cloud, own)))
    begun = exports.begin(acme, Actor.system("tests"), now - DAY, now + DAY, "json", Narrowed())
    (line,) = json.loads(exports.piece(begun.pk, 0))
    assert line["charged_usd"] == usd_text(taken(acme)) == "0.001400000"
    assert line["cost_usd"] == usd_text(1_400_700)
    monthly.close_of(acme, now + 40 * DAY)
    (said,) = Document.of(MonthlyStatement.objects.of(acme).earliest("month")).usage
    assert (said.target, said.requests, said.nanos) == ("t", 1, 1_400_000)


def test_each_period_is_what_its_requests_were_charged(acme, traffic):
    for rolled in (False, True):
        if rolled:
            rollups.roll_up()
        for hours in (1, 24, 31, 24 * 5, 24 * 9):
            from_, to = traffic - timedelta(hours=hours), traffic - timedelta(hours=hours // 3)
            (row,) = usage_report(acme, from_, to)
            assert row.charged_nanos == charged_in(acme, from_, to)


def test_a_correction_of_what_has_expired_is_kept_in_the_sums(acme, traffic, sold):
    acme.retention_days = 2
    acme.save()
    rollups.roll_up()
    retention.expire_usage()
    version = update_model(sold, Actor.system("tests"), {"input_price": "0.1", "output_price": "0.1"}).price_version
    rerate(sold.pk, version, traffic - timedelta(days=20), traffic + DAY)
    for _ in range(2):
        (row,) = usage_report(acme, traffic - 20 * DAY, traffic + DAY)
        assert row.charged_nanos == taken(acme)
        rollups.roll_up()


def test_what_was_charged_to_one_is_not_anothers(acme, rival, traffic):
    assert usage_report(rival, traffic - 30 * DAY, traffic + DAY)[0].charged_nanos == 0


def test_a_charge_of_a_moment_is_in_exactly_one_of_two_periods(acme, traffic):
    rollups.roll_up()
    middle = (traffic - timedelta(days=3, minutes=21)).astimezone(UTC)
    halves = [
        usage_report(acme, traffic - 30 * DAY, middle)[0].charged_nanos,
        usage_report(acme, middle, traffic + DAY)[0].charged_nanos,
    ]
    assert sum(halves) == taken(acme)
    assert all(halves)


def test_plans_read_sums_and_not_usage(acme, traffic):
    rollups.roll_up()
    with connection.execute_wrapper(_explaining(plans := [])):
        usage_report(acme, (traffic - 20 * DAY).replace(minute=0, second=0, microsecond=0), traffic + DAY, ["model"])
    assert "metering_rollup" in plans[0]
    read = [line for line in plans[0].splitlines() if "metering_usage_" in line and "never executed" not in line]
    assert all("rows=0" in line for line in read)


def _explaining(plans: list[str]):
    def explained(execute, sql, params, many, context):
        if "metering_rollup" in sql:
            with connection.cursor() as cursor:
                cursor.cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {sql}", params)
                plans.append("\n".join(row[0] for row in cursor.fetchall()))
        return execute(sql, params, many, context)

    return explained
