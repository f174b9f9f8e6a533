"""Usage lies in monthly partitions, and a row of any date finds a place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Organization
from metering import partitions, retention
from metering.models import Usage
from tests.metering.conftest import record_directly
from tests.metering.records import usage_record

pytestmark = pytest.mark.usefixtures("usage")


def partition_of(request_id: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM metering_usage WHERE request_id = %s", [request_id])
        return str(cursor.fetchone()[0])


def test_migrations_leave_the_next_months_prepared() -> None:
    now = timezone.now()
    record_directly(
        usage_record("now", started_at=now.isoformat()),
        usage_record("later", started_at=(now + timedelta(days=31)).isoformat()),
    )
    assert partition_of("now") == partitions.partition_name(now)
    assert partition_of("later") == partitions.partition_name(now + timedelta(days=31))
    assert partitions.ensure_partitions() == []


def test_strays_move_to_their_month_once_it_exists() -> None:
    record_directly(
        usage_record("first", started_at="2031-02-01T00:00:00+00:00"),
        usage_record("last", started_at="2031-02-28T23:59:59.999999+00:00"),
        usage_record("next", started_at="2031-03-01T00:00:00+00:00"),
    )
    assert partition_of("first") == partitions.STRAY
    assert partitions.ensure_partitions(0, now=datetime(2031, 2, 15, tzinfo=UTC)) == ["metering_usage_2031_02"]
    try:
        assert [partition_of(name) for name in ("first", "last")] == ["metering_usage_2031_02"] * 2
        assert partition_of("next") == partitions.STRAY
        assert not partitions.drop_if_empty("metering_usage_2031_02")
    finally:
        Usage.objects.all().delete()
        assert partitions.drop_if_empty("metering_usage_2031_02")


def test_december_is_followed_by_january() -> None:
    made = partitions.ensure_partitions(1, now=datetime(2031, 12, 31, 23, 59, tzinfo=UTC))
    try:
        assert made == ["metering_usage_2031_12", "metering_usage_2032_01"]
    finally:
        assert all(partitions.drop_if_empty(name) for name in made)


def test_a_month_that_nobody_keeps_is_dropped(org: Organization) -> None:
    partitions.ensure_partitions(0, now=datetime(2020, 1, 1, tzinfo=UTC))
    record_directly(
        usage_record("old", org_id=org.pk, started_at="2020-01-15T00:00:00+00:00"),
        usage_record("ownerless", org_id=0, started_at="2020-01-15T00:00:00+00:00"),
        usage_record("kept", org_id=org.pk, started_at="2020-02-10T00:00:00+00:00"),
    )
    assert retention.expire_usage(now=datetime(2020, 3, 5, tzinfo=UTC)) == 2
    assert "metering_usage_2020_01" not in partitions.partitions_before(timezone.now())
    assert [*Usage.objects.values_list("request_id", flat=True)] == ["kept"]


@pytest.mark.parametrize("figure", ["input_tokens", "cached_tokens", "output_tokens", "cost_nanos"])
def test_figures_below_zero_are_refused(figure: str) -> None:
    with pytest.raises(psycopg.IntegrityError):
        record_directly(usage_record(**{figure: -1}))
