import csv
import json
from io import StringIO

import pytest
from django.db import transaction

from accounts import audit, audit_export
from accounts.audit import Actor
from accounts.models import AuditEvent


@pytest.fixture
def events(acme, as_alice):
    with transaction.atomic():
        audit.record(acme, as_alice, "test.noted", "thing", "1", label='=cmd|"x"', before={"a": 1}, after={"a": "ก"})
    return AuditEvent.objects.of(acme).order_by("sequence")


def test_csv_has_a_header_and_a_line_per_event(events):
    rows = list(csv.DictReader(StringIO("".join(audit_export.export_csv(events)))))
    assert [row["action"] for row in rows] == ["organization.created", "test.noted"]
    assert tuple(rows[0]) == audit_export.COLUMNS
    assert (json.loads(rows[1]["before"]), json.loads(rows[1]["after"])) == ({"a": 1}, {"a": "ก"})
    assert rows[1]["ip"] == "192.0.2.1"


def test_no_cell_is_a_formula(acme, events):
    with transaction.atomic():
        for start in ("=", "+", "-", "@", "\t"):
            audit.record(acme, Actor("key", "k", f"{start}1+1"), "test.noted", "thing", "1")
    cells = [cell for row in csv.reader(StringIO("".join(audit_export.export_csv(events)))) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert "'=1+1" in cells


def test_json_lines_hold_the_values_themselves(events):
    lines = [json.loads(line) for line in audit_export.export_json_lines(events)]
    assert lines[1]["after"] == {"a": "ก"}
    assert lines[1]["object_label"] == '=cmd|"x"'
    assert len(lines[1]["digest"]) == 64


def test_it_is_written_while_it_is_read(events, django_assert_num_queries):
    with django_assert_num_queries(0):
        lines = audit_export.export_csv(events.iterator())
        assert next(lines).startswith("sequence,")
