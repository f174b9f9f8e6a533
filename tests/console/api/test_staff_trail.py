"""`/staff/audit-events`: the operator's trail found by each of its filters, taken away, and its chain proven."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import orjson
import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import OperatorEvent
from billing.earnings import causes
from ledger.proofs import prove
from tests.console.api.conftest import refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(staff) -> list[OperatorEvent]:
    """Of staff and of a command, the newest first."""
    staff.post("staff/causes", {"name": "Trees for All", "summary": "Plants trees."})
    staff.post("staff/vouchers", {"amount_usd": "5", "reason": "Launch"})
    causes.close(causes.open_causes().get())
    return [*OperatorEvent.objects.order_by("-sequence")]


def test_it_is_read_a_page_at_a_time(staff, trail):
    first = staff.get("staff/audit-events", limit=2).json()
    rest = staff.get("staff/audit-events", limit=2, cursor=first["next_cursor"]).json()
    rows = first["data"] + rest["data"]
    assert [row["id"] for row in rows] == [event.public_id for event in trail]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert (rows[0]["actor_label"], rows[0]["action"], rows[0]["object_id"]) == (
        "operator", "cause.closed", "trees-for-all",
    )  # fmt: skip
    assert (rows[1]["actor_type"], rows[1]["actor_label"]) == ("user", "sam@operator.test")
    assert rows[0]["digest"] == bytes(trail[0].digest).hex()


def test_each_filter_narrows_it(staff, trail, sam):
    now = timezone.now()
    for query, sequences in (
        ({"q": "SAM@"}, [2, 1]), ({"q": "trees"}, [3, 1]), ({"q": "voucher."}, [2]), ({"q": " "}, [3, 2, 1]),
        ({"action": "cause.closed"}, [3]), ({"actor_id": str(sam.pk)}, [2, 1]), ({"object_type": "cause"}, [3, 1]),
        ({"object_id": "trees-for-all", "actor_id": "operator"}, [3]), ({"from_": now.isoformat()}, []),
        ({"from_": (now - timedelta(hours=1)).isoformat(), "to": now.isoformat()}, [3, 2, 1]),
        ({"to": (now - timedelta(hours=1)).isoformat()}, []),
    ):  # fmt: skip
        rows = staff.get("staff/audit-events", **query).json()["data"]
        assert [row["sequence"] for row in rows] == sequences, query
        named = csv.DictReader(io.StringIO(b"".join(staff.get("staff/audit-events/file", **query)).decode()))
        assert [int(row["sequence"]) for row in named] == sequences, query


@pytest.mark.parametrize("name", ["from", "to"])
def test_a_time_that_is_none_is_refused(staff, name):
    for path in ("staff/audit-events", "staff/audit-events/file"):
        assert refused(staff.get(path, **{f"{name}_": "yesterday"}), 400, "invalid_request", name)
        assert refused(staff.get(path, **{f"{name}_": "0001-01-01"}), 400, "invalid_request", name)


def test_it_is_taken_away_as_json_lines(staff, trail, monkeypatch):
    monkeypatch.setattr("console.trail_files._AT_ONCE", 2)
    answer = staff.get("staff/audit-events/file", format="jsonl")
    assert answer["Content-Type"].startswith("application/jsonl")
    assert "staff-audit-" in answer["Content-Disposition"]
    lines = [orjson.loads(line) for line in b"".join(answer).splitlines()]
    assert [line["sequence"] for line in lines] == [3, 2, 1]
    assert [{"object": "audit_event", **line} for line in lines] == staff.get("staff/audit-events").json()["data"]
    assert refused(staff.get("staff/audit-events/file", format="xlsx"), 400, "invalid_request", "format")


@pytest.mark.breaks_invariants
def test_its_chain_is_proven_and_a_break_shows(staff, trail):
    said = staff.get("staff/audit-events/verify").json()
    assert (said["ok"], said["events"], said["head"]) == (True, 3, bytes(trail[0].digest).hex())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_operatorevent DISABLE TRIGGER audit_append_only")
    OperatorEvent.objects.filter(sequence=2).update(actor_label="nobody")
    said = staff.get("staff/audit-events/verify").json()
    assert (said["ok"], said["breach"]) == (False, {"sequence": 2, "reason": "edited"})


@pytest.mark.breaks_invariants
def test_the_proof_of_the_ledger_is_told(staff):
    assert staff.get("staff/ledger-proof").json() == {
        "object": "ledger_proof", "ended_at": None, "invariants": 0, "findings": [], "is_late": True,
        "was_stopped": False,
    }  # fmt: skip
    prove()
    said = staff.get("staff/ledger-proof").json()
    assert (said["invariants"], said["findings"], said["is_late"]) == (10, [], False)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; DROP TRIGGER billing_charge_no_truncate ON billing_charge")
    prove()
    [finding] = staff.get("staff/ledger-proof").json()["findings"]
    assert finding.keys() == {"invariant", "subject", "detail"}
