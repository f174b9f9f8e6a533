"""Files of single requests: whole, in order, once each; small at once, large piece by piece."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from decimal import Decimal
from itertools import count as counting

import pytest
from django.db import ProgrammingError

from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import AuditEvent
from common.rates import TokenDetails
from metering import exports, tasks
from metering.models import ExportPiece, UsageExport
from metering.reports import Narrowed, usage_report
from tests.metering.conftest import record_directly
from tests.metering.records import NOON, usage_record

ACTOR = Actor.system("tests")
SPAN = (NOON, NOON + timedelta(hours=1))


def fill(org, count: int, **fields) -> None:
    record_directly(
        *(
            usage_record(
                f"req_{number:05}",
                org_id=org.pk,
                started_at=(NOON + timedelta(seconds=number // 3)).isoformat(),
                cost_nanos=number,
                **fields,
            )
            for number in range(count)
        )
    )


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(exports, "AT_ONCE", 10)


def text_of(export: UsageExport) -> str:
    numbers = counting()
    return "".join(iter(lambda: exports.piece(export.pk, next(numbers)), None))


@pytest.mark.parametrize("count", [0, 9, 10, 35])
def test_every_request_is_in_it_once_and_in_order(usage, org, small_pieces, count):
    fill(org, count)
    for format in exports.FORMATS:
        export = exports.begin(org, ACTOR, *SPAN, format, Narrowed())
        assert export.is_open == (count >= 10)
        tasks.write_export(export.pk)
        export.refresh_from_db()
        assert (export.state, export.done, export.percent) == ("done", count, 100)
        text = text_of(export)
        assert len(text.encode()) == export.size_bytes
        rows = json.loads(text) if format == "json" else list(csv.DictReader(io.StringIO(text)))
        assert [row["request_id"] for row in rows] == [f"req_{number:05}" for number in range(count)]
        (total,) = usage_report(org, *SPAN)
        assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(total.cost_nanos).scaleb(-9)


def test_a_line_says_of_which_kinds_its_tokens_were(usage, org):
    kinds = {"cache_write": 300, "audio_input": 20, "reasoning": 40, "audio_output": 5}
    counts = {"input_tokens": 1_000, "cached_tokens": 600, "output_tokens": 50}
    fill(org, 1, token_details=TokenDetails(**kinds), **counts)
    record_directly(usage_record("req_plain", org_id=org.pk, token_details=None))
    expected = counts | {f"{kind}_tokens": tokens for kind, tokens in kinds.items()}
    for format in exports.FORMATS:
        text = text_of(exports.begin(org, ACTOR, *SPAN, format, Narrowed()))
        rows = json.loads(text) if format == "json" else list(csv.DictReader(io.StringIO(text)))
        by_id = {row["request_id"]: row for row in rows}
        assert {name: int(by_id["req_00000"][name]) for name in expected} == expected
        assert {int(by_id["req_plain"][f"{kind}_tokens"]) for kind in kinds} == {0}


def test_another_worker_goes_on_where_one_was_lost(usage, org, small_pieces):
    fill(org, 25)
    export = exports.begin(org, ACTOR, *SPAN, "csv", Narrowed())
    assert exports.work(export.pk, for_s=0)
    assert UsageExport.objects.get().done == 10
    assert exports.left_alone(export.worked_at + timedelta(seconds=10)) == []
    UsageExport.objects.update(worked_at=NOON - timedelta(days=1))
    tasks.sweep_exports()
    export.refresh_from_db()
    assert export.state == "done"
    assert len(text_of(export).splitlines()) == 26


def test_what_fails_again_and_again_is_given_up_and_tried_again(usage, org, small_pieces, monkeypatch):
    fill(org, 25)
    export = exports.begin(org, ACTOR, *SPAN, "csv", Narrowed())
    assert not exports.retry(export, ACTOR)
    assert exports.work(export.pk, for_s=0)
    with monkeypatch.context() as patch:
        patch.setattr(exports, "_READ", "SELECT no_such_function() WHERE {narrowed}")
        for _attempt in range(exports.MOST_FAILURES):
            assert UsageExport.objects.get().is_open
            with pytest.raises(ProgrammingError):
                exports.work(export.pk, for_s=0)
    export.refresh_from_db()
    assert (export.state, export.done) == (UsageExport.FAILED, 10)
    assert exports.left_alone(NOON + timedelta(days=99_999)) == []
    assert exports.retry(export, ACTOR)
    assert AuditEvent.objects.of(org).filter(action="usage_export.retried").count() == 1
    tasks.write_export(export.pk)
    export.refresh_from_db()
    assert (export.state, export.done, export.failures) == (UsageExport.DONE, 25, 0)
    assert [row["request_id"] for row in csv.DictReader(io.StringIO(text_of(export)))] == [
        f"req_{number:05}" for number in range(25)
    ]


def test_after_its_day_it_is_gone(usage, org):
    fill(org, 3)
    export = exports.begin(org, ACTOR, *SPAN, "csv", Narrowed())
    assert exports.expire(export.expires_at - timedelta(seconds=1)) == 0
    exports.expire(export.expires_at + timedelta(seconds=1))
    assert not UsageExport.objects.exists()
    assert not ExportPiece.objects.exists()


def test_what_it_is_narrowed_to_is_all_that_is_in_it(usage, org):
    fill(org, 3, model="=cmd()", target="node/desk/m", key_id=None)
    record_directly(usage_record("req_x", org_id=org.pk), usage_record("req_y", org_id=org.pk + 1))
    for narrowed in (Narrowed(model="=cmd()"), Narrowed(node="desk"), Narrowed(key_id=0)):
        export = exports.begin(org, ACTOR, *SPAN, "csv", narrowed)
        rows = list(csv.DictReader(io.StringIO(text_of(export))))
        assert [row["model"] for row in rows] == ["'=cmd()"] * 3
    assert exports.begin(org, ACTOR, *SPAN, "csv", Narrowed()).done == 4


def test_only_so_many_are_under_way_and_kept(usage, org, small_pieces):
    fill(org, 12)
    for _ in range(exports.MOST_OPEN):
        exports.begin(org, ACTOR, *SPAN, "csv", Narrowed())
    with pytest.raises(InvalidField):
        exports.begin(org, ACTOR, *SPAN, "csv", Narrowed())
    for export in UsageExport.objects.all():
        tasks.write_export(export.pk)
    for _ in range(exports.MOST_KEPT):
        exports.begin(org, ACTOR, NOON - timedelta(days=2), NOON, "csv", Narrowed())
    assert UsageExport.objects.count() == exports.MOST_KEPT
