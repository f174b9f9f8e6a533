"""Rollups, and the reports made of them, equal the usage rows to the last unit, whatever happened in which order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization
from metering import retention, rollups, tasks
from metering.lengths import digits_of
from metering.models import DirtyBucket, Rollup, Usage
from metering.reports import Dimension, UsageRow, usage_report
from metering.spread import digit_of
from metering.usage import UsageRecord
from tests.metering.conftest import record_directly
from tests.metering.records import NOON, usage_record

HOURS = [NOON + timedelta(hours=hours) for hours in (-36, -13, -12, 0, 1, 12)]
LARGE = st.integers(0, 2**40)
REPORTS: list[tuple[Dimension, ...]] = [
    (),
    ("model", "key"),
    ("day",),
    ("hour", "target"),
    ("member", "route", "day"),
    ("node",),
]


@pytest.fixture
def orgs(usage: None) -> list[Organization]:
    return [Organization.objects.create(public_id=f"org_{n}", name=n, slug=n) for n in ("acme", "rival")]


def started_at(hour: datetime, milliseconds: int) -> str:
    return (hour + timedelta(milliseconds=milliseconds)).isoformat()


moments = st.builds(started_at, st.sampled_from(HOURS), st.integers(0, 3_599_999))
some_usage = st.fixed_dictionaries(
    {
        "started_at": moments,
        "org_id": st.integers(0, 1),  # which one of the fixture
        "model": st.sampled_from(["a", "b"]),
        "route": st.sampled_from(["", "r"]),
        "target": st.sampled_from(["", "x/a", "node/desk/a"]),
        "cache": st.sampled_from(["", "HIT", "MISS"]),
        "saved_nanos": LARGE,
        "key_id": st.sampled_from([None, 1, 2]),
        "user_id": st.sampled_from([None, 1]),
        "status": st.sampled_from([200, 404, 499, 502]),
        "error_code": st.sampled_from(["", "upstream_timeout"]),
        "input_tokens": LARGE,
        "cached_tokens": LARGE,
        "output_tokens": LARGE,
        "cost_nanos": LARGE,
        "ttft_ms": st.none() | st.integers(0, 60_000),
        "duration_ms": st.integers(0, 600_000),
    }
)
batches = st.lists(some_usage, min_size=1, max_size=8)
quiet = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def empty_tables() -> None:
    with connection.cursor() as cursor:
        for table in ("usage", "rollup", "dirtybucket", "usageexpiry", "rollupzone"):
            cursor.execute(f"DELETE FROM metering_{table}")


class Books:
    """Every record ever made, as a plain list, to compare the tables with."""

    def __init__(self, orgs: list[Organization]) -> None:
        self.orgs = orgs
        self.records: list[UsageRecord] = []
        self._numbers = count()

    def record(self, batch: list[dict[str, object]]) -> None:
        new = [
            usage_record(
                f"req_{next(self._numbers)}", **fields | {"org_id": self.orgs[int(str(fields["org_id"]))].pk}
            )
            for fields in batch
        ]
        self.records += new
        record_directly(*new)

    def report(
        self, org: Organization, from_: datetime, to: datetime, group_by: tuple[Dimension, ...]
    ) -> list[UsageRow]:
        groups: dict[tuple[object, ...], UsageRow] = {(): row_of()} if not group_by else {}
        for record in self.records:
            if record.org_id == org.pk and from_ <= datetime.fromisoformat(record.started_at) < to:
                one = row_of(record, group_by)
                key = tuple(getattr(one, name) for name in GROUP_FIELDS) if group_by else ()
                groups[key] = added(groups[key], one) if key in groups else one
        return [*groups.values()]


GROUP_FIELDS = ("model", "route", "target", "node", "key_id", "user_id", "starts_at")
FIGURES = (
    "requests", "errors", "input_tokens", "cached_tokens", "output_tokens", "cost_nanos", "duration_ms_sum",
    "ttft_ms_sum", "ttft_count", "hits", "saved_nanos", "charged_nanos", "tokens_nanos", "own_nanos",
    "duration_spread", "ttft_spread", "long_prompts",
)  # fmt: skip


def row_of(record: UsageRecord | None = None, group_by: tuple[Dimension, ...] = ()) -> UsageRow:
    """What one record adds to a report; nothing without a record."""
    if record is None:
        return UsageRow(**dict.fromkeys(FIGURES, 0))
    hour = datetime.fromisoformat(record.started_at).replace(minute=0, second=0, microsecond=0)
    starts_at = hour if "hour" in group_by else hour.replace(hour=0) if "day" in group_by else None
    is_machine = record.target.startswith("node/")
    return UsageRow(
        model=record.model if "model" in group_by else None,
        route=record.route if "route" in group_by else None,
        target=record.target if "target" in group_by else None,
        node=(record.target.split("/")[1] if is_machine else "") if "node" in group_by else None,
        key_id=record.key_id if "key" in group_by else None,
        user_id=record.user_id if "member" in group_by else None,
        starts_at=starts_at,
        requests=1,
        errors=int(record.status != 499 and (record.status >= 400 or record.error_code != "")),
        input_tokens=record.input_tokens,
        cached_tokens=record.cached_tokens,
        output_tokens=record.output_tokens,
        cost_nanos=record.cost_nanos,
        duration_ms_sum=record.duration_ms,
        ttft_ms_sum=record.ttft_ms or 0,
        ttft_count=int(record.ttft_ms is not None),
        hits=int(record.cache == "HIT"),
        saved_nanos=record.saved_nanos,
        charged_nanos=0,
        tokens_nanos=0,
        own_nanos=record.cost_nanos,
        duration_spread=digit_of(record.duration_ms),
        ttft_spread=digit_of(record.ttft_ms),
        long_prompts=digits_of(record),
    )


def added(row: UsageRow, other: UsageRow) -> UsageRow:
    return replace(row, **{name: getattr(row, name) + getattr(other, name) for name in FIGURES})


def by_group(rows: list[UsageRow]) -> list[UsageRow]:
    return sorted(rows, key=lambda row: [str(getattr(row, name)) for name in GROUP_FIELDS])


def assert_books_agree(books: Books, from_: datetime, to: datetime) -> None:
    for org in books.orgs:
        for group_by in REPORTS:
            expected = by_group(books.report(org, from_, to, group_by))
            assert by_group(usage_report(org, from_, to, group_by)) == expected


ZONES = ("UTC", "Asia/Bangkok", "America/New_York", "Asia/Kolkata")


@quiet
@given(
    steps=st.lists(st.sampled_from(["roll up", "replay", *ZONES]) | batches, min_size=1, max_size=8),
    ends=st.tuples(moments, moments),
)
def test_reports_equal_usage_at_any_moment(
    orgs: list[Organization], steps: list[object], ends: tuple[str, str]
) -> None:
    empty_tables()
    Organization.objects.update(time_zone="UTC")
    books = Books(orgs)
    from_, to = sorted(map(datetime.fromisoformat, ends))
    for step in steps:
        if isinstance(step, list):
            books.record(step)
        elif step == "roll up":
            rollups.roll_up()
        elif step in ZONES:
            Organization.objects.update(time_zone=step)
            books.orgs = [*Organization.objects.filter(pk__in=[org.pk for org in orgs]).order_by("pk")]
        elif books.records:
            record_directly(*books.records)
        assert_books_agree(books, from_, to)
    rollups.roll_up()
    assert not DirtyBucket.objects.exists()
    for period in ("hour", "day"):
        assert_rollups_equal_usage(period)


def assert_rollups_equal_usage(period: str) -> None:
    names = ("input_tokens", "cached_tokens", "output_tokens", "cost_nanos")
    of_usage = Usage.objects.aggregate(**{name: Sum(name, default=0) for name in names})
    of_rollups = Rollup.objects.filter(period=period).aggregate(**{name: Sum(name, default=0) for name in names})
    assert of_rollups == of_usage


@quiet
@given(
    steps=st.lists(st.tuples(batches, st.sampled_from(["roll up", "wait", 0, 1, 2])), min_size=2, max_size=5),
    whole_hours=st.tuples(st.sampled_from(HOURS), st.sampled_from(HOURS)),
)
def test_sums_outlive_the_usage_they_were_made_of(
    orgs: list[Organization],
    steps: list[tuple[list[dict[str, object]], str | int]],
    whole_hours: tuple[datetime, datetime],
) -> None:
    """After each batch a number expires the first organisation's usage of so many days ago, and batches come late."""
    empty_tables()
    books = Books(orgs)
    from_, to = sorted(whole_hours)
    for batch, then in steps:
        books.record(batch)
        if isinstance(then, int):
            Organization.objects.filter(pk=orgs[0].pk).update(retention_days=then)
            retention.expire_usage(now=NOON + timedelta(hours=13))
        elif then == "roll up":
            rollups.roll_up()
        assert_books_agree(books, from_, to)
    assert_books_agree(books, HOURS[0], HOURS[-1] + timedelta(hours=1))


def in_threads(*works: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_exact_while_many_write_sum_expire_and_read(orgs: list[Organization]) -> None:
    acme = orgs[0]
    Organization.objects.filter(pk=acme.pk).update(retention_days=0)
    writing = threading.Semaphore(0)
    rounds = 200
    lowest_seen = 0

    def write(name: str) -> None:
        for number in range(rounds):
            moment = (NOON + timedelta(minutes=number % 90)).isoformat()
            record_directly(usage_record(f"{name}-{number}", org_id=acme.pk, started_at=moment, cost_nanos=1))
        writing.release()

    def while_writing(work: Callable[[], object]) -> Callable[[], None]:
        def repeat() -> None:
            while not writing.acquire(blocking=False):
                work()
            writing.release()

        return repeat

    def read() -> None:
        nonlocal lowest_seen
        (row,) = usage_report(acme, NOON, NOON + timedelta(hours=2))
        assert row.requests == row.cost_nanos >= lowest_seen
        lowest_seen = row.requests

    in_threads(
        lambda: write("a"),
        lambda: write("b"),
        while_writing(rollups.roll_up),
        while_writing(rollups.roll_up),
        while_writing(read),
        while_writing(lambda: retention.expire_usage(now=NOON + timedelta(days=2))),
    )
    (row,) = usage_report(acme, NOON, NOON + timedelta(hours=2))
    assert row.requests == 2 * rounds


def test_an_unknown_organisation_holds_up_nobody(orgs: list[Organization]) -> None:
    record_directly(usage_record("req_1", org_id=0), usage_record("req_2", org_id=orgs[0].pk))
    assert rollups.roll_up() == 2
    assert not DirtyBucket.objects.exists()
    assert Rollup.objects.filter(period="hour").count() == 1


def test_an_organisation_that_is_being_summed_is_left_alone(orgs: list[Organization]) -> None:
    record_directly(usage_record("req_1", org_id=orgs[0].pk), usage_record("req_2", org_id=orgs[1].pk))
    with transaction.atomic(), connection.cursor() as cursor:
        assert rollups.claim(cursor, orgs[0].pk)
        in_threads(rollups.roll_up)
    assert [mark.org_id for mark in DirtyBucket.objects.all()] == [orgs[0].pk]


def test_the_tasks_run(orgs: list[Organization]) -> None:
    record_directly(usage_record("req_1", org_id=orgs[0].pk))
    tasks.roll_up()
    tasks.ensure_partitions()
    tasks.expire_usage()
    assert Rollup.objects.filter(org=orgs[0], period="day", requests=1).exists()
