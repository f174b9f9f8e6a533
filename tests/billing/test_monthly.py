"""Statements add up, hold every entry once, follow on each other, and stay as they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import DatabaseError

from accounts.audit import Actor
from billing import monthly
from billing.models import MonthlyStatement
from billing.monthly import Document
from billing.rerating import rerate
from ledger.models import Entry
from providers.serving import update_model
from tests.billing.conftest import COST, record

DAY = timedelta(days=1)


@pytest.fixture
def posted_at(db):
    """Puts the newest transfers into the past, which only a test can: the ledger refuses it."""

    def posted(moment: datetime, after: int = 0) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
            cursor.execute("GRANT UPDATE (posted_at) ON ledger_transfer TO CURRENT_USER")
            cursor.execute("ALTER TABLE ledger_transfer DISABLE TRIGGER ledger_transfer_append_only")
            cursor.execute("UPDATE ledger_transfer SET posted_at = %s WHERE id > %s", [moment, after])
            cursor.execute("ALTER TABLE ledger_transfer ENABLE ALWAYS TRIGGER ledger_transfer_append_only")
            cursor.execute("SELECT max(id) FROM ledger_transfer")
            return cursor.fetchone()[0]

    return posted


@pytest.fixture
def two_months(acme, fund, used, sold, posted_at):
    """October: $10 in, three requests. November: a price put right, one request more."""
    fund(acme, 10**10)
    october = datetime(2026, 10, 20, 12, tzinfo=UTC)
    record(*(used(f"req_{n}", started_at=(october + n * DAY).isoformat(), target="upstream/fast") for n in range(3)))
    last = posted_at(october + 3 * DAY)
    version = update_model(sold, Actor.system("tests"), {"input_price": "0.5", "output_price": "2"}).price_version
    assert rerate(sold.pk, version, october - DAY, october + 9 * DAY).requests == 3
    record(used("req_late", started_at="2026-11-03T00:00:00+00:00"))
    posted_at(datetime(2026, 11, 5, tzinfo=UTC), last)
    return datetime(2026, 12, 2, tzinfo=UTC)


def documents(acme) -> list[Document]:
    return [Document.of(one) for one in MonthlyStatement.objects.of(acme).order_by("month")]


def test_each_adds_up_and_follows_on_the_one_before(acme, two_months):
    assert monthly.close_of(acme, two_months) == 2
    october, november = documents(acme)
    assert (october.wallet.opening, october.wallet.closing) == (0, 10**10 - 3 * COST)
    assert november.wallet.opening == october.wallet.closing
    for document in (october, november):
        wallet = document.wallet
        assert wallet.opening + sum(one.nanos for one in wallet.movements) == wallet.closing
    balance = Entry.objects.filter(account__org=acme, account__kind="wallet").order_by("-id").first().balance_after
    assert november.wallet.closing == balance


def test_usage_is_told_by_target_and_corrections_by_month(acme, two_months):
    monthly.close_of(acme, two_months)
    october, november = documents(acme)
    (used,) = october.usage
    assert (used.target, used.requests, used.nanos) == ("upstream/fast", 3, 3 * COST)
    assert october.corrections == ()
    (correction,) = november.corrections
    assert (correction.month, correction.requests) == ("2026-10", 3)
    moved = {one.kind: one.nanos for one in november.wallet.movements}
    assert moved["rerating"] == -correction.nanos > 0
    assert moved["settlement"] == -sum(one.nanos for one in november.usage)


def test_a_month_is_closed_once_and_not_before_its_last_requests_came(acme, two_months):
    end = datetime(2026, 12, 1, tzinfo=UTC)
    assert monthly.close_of(acme, end + timedelta(hours=1)) == 1
    assert monthly.close_of(acme, end + timedelta(hours=4)) == 1
    assert monthly.close_of(acme, end + timedelta(hours=5)) == 0


def test_an_entry_that_came_late_is_in_the_next_one(acme, two_months, used, posted_at):
    monthly.close_of(acme, datetime(2026, 11, 2, tzinfo=UTC))
    last = Entry.objects.order_by("-transfer_id").first().transfer_id
    record(used("req_slow", started_at="2026-10-31T23:59:59+00:00"))
    posted_at(datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC), last)
    monthly.close_of(acme, two_months)
    october, november = documents(acme)
    assert sum(one.requests for one in october.usage) == 3
    assert sum(one.requests for one in november.usage) == 2
    wallet = Entry.objects.filter(account__org=acme, account__kind="wallet")
    assert october.wallet.closing - october.wallet.opening + november.wallet.closing - november.wallet.opening == sum(
        wallet.values_list("amount", flat=True)
    )


def test_a_quiet_month_has_its_statement_too(acme, two_months):
    assert monthly.close_of(acme, two_months + 31 * DAY) == 3
    assert documents(acme)[-1].wallet.movements == ()
    assert documents(acme)[-1].wallet.opening == documents(acme)[-1].wallet.closing > 0


def test_nobody_changes_a_statement(acme, two_months):
    monthly.close_of(acme, two_months)
    for change in ("UPDATE billing_monthlystatement SET document = '{}'", "DELETE FROM billing_monthlystatement"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)
    with pytest.raises(IntegrityError), transaction.atomic():
        MonthlyStatement.objects.create(
            org=acme, public_id="stmt_x", month="2026-10-01", zone="UTC", document={}, cuts={}
        )


def test_the_month_is_that_of_the_organisation(acme, fund, posted_at):
    acme.time_zone = "Asia/Bangkok"
    acme.save()
    fund(acme, 5)
    posted_at(datetime(2026, 10, 31, 18, tzinfo=UTC))
    assert monthly.close_months(datetime(2026, 12, 2, tzinfo=UTC)) == 1
    assert str(MonthlyStatement.objects.get().month) == "2026-11-01"
