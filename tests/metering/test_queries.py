"""The log of requests, single requests, today's spend, and tables for spreadsheets."""

from __future__ import annotations

import base64
import csv
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization
from common import ids
from common.cells import csv_line
from common.errors import InvalidRequest
from common.rates import TokenDetails
from metering import queries, reports, rollups
from metering.models import Usage
from metering.queries import RequestFilters
from metering.reports import Dimension
from tests.metering.conftest import record_directly
from tests.metering.records import usage_record

pytestmark = pytest.mark.usefixtures("usage")


@pytest.fixture
def rival(org: Organization) -> Organization:
    return Organization.objects.create(public_id="org_rival", name="Rival", slug="rival")


def minutes_ago(minutes: float) -> str:
    return (timezone.now() - timedelta(minutes=minutes)).isoformat()


def logged(org: Organization, **filters: object) -> list[str]:
    page = queries.list_requests(org, RequestFilters(**filters))  # type: ignore[arg-type]
    return [request.request_id for request in page.requests]


def test_newest_first_and_only_ones_own(org: Organization, rival: Organization) -> None:
    record_directly(
        usage_record("old", org_id=org.pk, started_at=minutes_ago(9)),
        usage_record("new", org_id=org.pk, started_at=minutes_ago(1)),
        usage_record("foreign", org_id=rival.pk, started_at=minutes_ago(5)),
    )
    assert logged(org) == ["new", "old"]
    assert logged(rival) == ["foreign"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(milliseconds=st.lists(st.integers(0, 5), max_size=12), limit=st.integers(1, 5))
def test_pages_hold_each_request_once(org: Organization, milliseconds: list[int], limit: int) -> None:
    """Also when several began in the same moment."""
    Usage.objects.all().delete()
    now = timezone.now()
    record_directly(
        usage_record("req_first", org_id=org.pk, started_at=(now - timedelta(seconds=1)).isoformat()),
        *(
            usage_record(f"req_{n:02}", org_id=org.pk, started_at=(now + timedelta(milliseconds=ms)).isoformat())
            for n, ms in enumerate(milliseconds)
        ),
    )
    pages = [queries.list_requests(org, limit=limit)]
    while (cursor := pages[-1].next_cursor) is not None:
        pages.append(queries.list_requests(org, cursor=cursor, limit=limit))
    assert all(len(page.requests) <= limit for page in pages)
    seen = [request.request_id for page in pages for request in page.requests]
    newest_first = sorted(enumerate(milliseconds), key=lambda pair: (pair[1], pair[0]), reverse=True)
    assert seen == [*(f"req_{n:02}" for n, _ in newest_first), "req_first"]

    back = pages[-1:]
    while (cursor := back[0].newer_cursor) is not None:
        back.insert(0, queries.list_requests(org, cursor=cursor, limit=limit, newer=True))
    assert [page.requests for page in back] == [page.requests for page in pages]


@pytest.mark.parametrize(
    ("filters", "difference"),
    [
        ({"model": "m2"}, {"model": "m2"}),
        ({"route": "r2"}, {"route": "r2"}),
        ({"target": "t/2"}, {"target": "t/2"}),
        ({"key_id": 77}, {"key_id": 77}),
        ({"status_class": 5}, {"status": 599}),
        ({"is_error": True}, {"status": 404}),
        ({"is_error": True}, {"error_code": "upstream_interrupted"}),
        ({"status_class": 4, "is_error": False}, {"status": 499}),
        ({"error_code": "ttft_timeout"}, {"error_code": "ttft_timeout"}),
        ({"stream": False}, {"stream": False}),
        ({"min_duration_ms": 9_000}, {"duration_ms": 9_000}),
    ],
)
def test_each_filter_leaves_what_it_names(
    org: Organization, filters: dict[str, object], difference: dict[str, object]
) -> None:
    record_directly(
        usage_record("same", org_id=org.pk, started_at=minutes_ago(1)),
        usage_record("different", org_id=org.pk, started_at=minutes_ago(2), **difference),
    )
    assert logged(org, **filters) == ["different"]


def test_filters_by_time_and_id(org: Organization) -> None:
    request_id = ids.new_request_id()
    record_directly(
        usage_record(request_id, org_id=org.pk, started_at=minutes_ago(0)),
        usage_record("an_hour", org_id=org.pk, started_at=minutes_ago(60)),
        usage_record("a_day", org_id=org.pk, started_at=minutes_ago(1_440)),
    )
    now = timezone.now()
    assert logged(org, from_=now - timedelta(hours=2), to=now - timedelta(minutes=30)) == ["an_hour"]
    assert logged(org, request_id=request_id) == [request_id]
    assert logged(org, request_id="an_hour") == ["an_hour"]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "ไทย", *(base64.urlsafe_b64encode(text).decode() for text in (b"\xff", b"now x", b"2026-01-01 x"))],
)
def test_a_cursor_from_elsewhere_is_refused(org: Organization, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        queries.list_requests(org, cursor=cursor)


def test_the_log_reads_one_index_and_only_its_months(org: Organization) -> None:
    record_directly(usage_record("req_1", org_id=org.pk, started_at=minutes_ago(1)))
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        rows = Usage.objects.of(org).filter(
            pk__lt=(timezone.now(), "x"), started_at__lte=timezone.now(), started_at__gte=timezone.now() - reports.DAY
        )
        plan = rows.order_by("-started_at", "-request_id")[:50].explain()
        cursor.execute("RESET enable_seqscan")
    assert "org_id_started_at_request_id_idx" in plan
    assert "Sort" not in plan


def test_one_request(org: Organization, rival: Organization) -> None:
    request_id = ids.new_request_id()
    record_directly(usage_record(request_id, org_id=org.pk, started_at=minutes_ago(0)))
    found = queries.get_request(org, request_id)
    assert [attempt["target"] for attempt in found.attempts] == ["sim-a/fast"]
    for stranger, wanted in ((rival, request_id), (org, ids.new_request_id()), (org, "req_1"), (org, "\0")):
        with pytest.raises(Usage.DoesNotExist):
            queries.get_request(stranger, wanted)


def test_spend_today_begins_at_midnight_utc(org: Organization) -> None:
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    for number, (seconds, cost_nanos) in enumerate([(-1, 1), (0, 10), (3_600, 100), (86_400, 1_000)]):
        moment = midnight + timedelta(seconds=seconds)
        record_directly(
            usage_record(f"req_{number}", org_id=org.pk, started_at=moment.isoformat(), cost_nanos=cost_nanos)
        )
        if number == 1:
            rollups.roll_up()
    assert reports.spend_today(org, now=midnight + timedelta(hours=12)) == 110


def test_days_begin_where_the_organisation_is(org: Organization) -> None:
    for number, moment in enumerate(["2026-11-21T16:59:59+00:00", "2026-11-21T17:00:00+00:00"]):
        record_directly(usage_record(f"req_{number}", org_id=org.pk, started_at=moment))
    rollups.roll_up()
    from_ = datetime(2026, 11, 20, 17, tzinfo=UTC)
    rows = reports.usage_report(org, from_, from_ + 3 * reports.DAY, ("day",), zone="Asia/Bangkok")
    assert [row.starts_at for row in rows] == [from_, from_ + reports.DAY]


@pytest.mark.parametrize("group_by", [("colour",), ("day", "hour"), ("model; DROP TABLE x",)])
def test_unknown_dimensions_are_refused(org: Organization, group_by: tuple[Dimension, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be grouped"):
        reports.usage_report(org, timezone.now(), timezone.now(), group_by)


def test_csv_is_exact_and_harmless(org: Organization) -> None:
    moment = datetime(2026, 11, 22, 12, tzinfo=UTC)
    record_directly(
        usage_record("req_1", org_id=org.pk, model="=cmd()", cost_nanos=1, key_id=None, ttft_ms=None),
        usage_record(
            "req_2",
            org_id=org.pk,
            model="m",
            cost_nanos=12_000_000_034,
            ttft_ms=10,
            status=500,
            token_details=TokenDetails(reasoning=40),
        ),
    )
    log = queries.list_requests(org, RequestFilters(from_=moment)).requests
    names, first, second = csv.reader(map(csv_line, queries.request_csv_rows(log)))
    assert dict(zip(names, first, strict=True))["cost_usd"] == "12.000000034"
    assert dict(zip(names, second, strict=True))["model"] == "'=cmd()"
    assert dict(zip(names, first, strict=True))["reasoning_tokens"] == "40"
    assert dict(zip(names, second, strict=True))["reasoning_tokens"] == "0"


def test_back_from_where_little_is_newer_is_the_whole_first_page(org: Organization) -> None:
    now = timezone.now()
    for number in range(8):
        at = (now + timedelta(seconds=number)).isoformat()
        record_directly(usage_record(f"req_{number}", org_id=org.pk, started_at=at))
    second = queries.list_requests(org, cursor=queries.list_requests(org, limit=3).next_cursor, limit=5)
    assert second.newer_cursor is not None
    back = queries.list_requests(org, cursor=second.newer_cursor, limit=5, newer=True)
    assert [request.request_id for request in back.requests] == ["req_7", "req_6", "req_5", "req_4", "req_3"]
    assert back.newer_cursor is None


def test_a_look_for_rare_requests_ends_and_goes_on(org: Organization) -> None:
    """Every fifth is of the rare model; four are looked at on each page."""
    record_directly(
        *(
            usage_record(f"req_{n:02}", org_id=org.pk, started_at=minutes_ago(n), model="m1" if n % 5 else "rare")
            for n in range(1, 16)
        )
    )
    filters, cursor, found, looks = RequestFilters(model="rare"), None, [], 0
    while looks == 0 or cursor is not None:
        page = queries.list_requests(org, filters, cursor, limit=2, most_looked_at=3)
        assert (page.looked_back_to is not None) == (page.next_cursor is not None)
        found += [request.request_id for request in page.requests]
        cursor, looks = page.next_cursor, looks + 1
    assert found == ["req_05", "req_10", "req_15"]
    assert looks == 4
    whole = queries.list_requests(org, RequestFilters(), limit=2, most_looked_at=3)
    assert (len(whole.requests), whole.looked_back_to) == (2, None)


def test_a_look_for_newer_rare_requests_ends_and_goes_on(org: Organization) -> None:
    """Every fifth is of the rare model; of the fifteen, four are looked at on each page."""
    record_directly(
        *(
            usage_record(f"req_{n:02}", org_id=org.pk, started_at=minutes_ago(n), model="m1" if n % 5 else "rare")
            for n in range(1, 16)
        )
    )
    filters = RequestFilters(model="rare")
    oldest = queries.list_requests(org, filters, queries.list_requests(org, filters, limit=2).next_cursor, limit=1)
    assert [request.request_id for request in oldest.requests] == ["req_15"]
    back, looked = oldest, []
    while back.newer_cursor is not None:
        back = queries.list_requests(org, filters, back.newer_cursor, limit=2, newer=True, most_looked_at=3)
        looked.append(([request.request_id for request in back.requests], back.looked_ahead_to is not None))
    assert looked == [([], True), (["req_10"], True), (["req_05"], True), ([], False)]
    assert back.looked_back_to is not None


def test_older_than_an_empty_look_ahead_is_where_it_began(org: Organization) -> None:
    record_directly(
        *(
            usage_record(f"req_{n}", org_id=org.pk, started_at=minutes_ago(n), model="m1" if n < 9 else "rare")
            for n in range(1, 12)
        )
    )
    filters = RequestFilters(model="rare")
    first = queries.list_requests(org, filters, limit=2)
    older = queries.list_requests(org, filters, first.next_cursor, limit=2)
    ahead = queries.list_requests(org, filters, first.next_cursor, limit=1, newer=True, most_looked_at=0)
    assert ([request.request_id for request in ahead.requests], older.next_cursor) == (["req_9"], None)
    nothing = queries.list_requests(org, filters, ahead.newer_cursor, limit=2, newer=True, most_looked_at=3)
    assert (nothing.requests, nothing.looked_ahead_to is None) == ([], False)
    again = queries.list_requests(org, filters, nothing.next_cursor, limit=2)
    assert [request.request_id for request in again.requests] == ["req_9", "req_10"]
