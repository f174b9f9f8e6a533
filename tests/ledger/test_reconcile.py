"""`manage.py reconcile` finds what somebody damaged behind the ledger's back, and says where."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ledger import holds
from ledger.drafts import Draft
from ledger.invariants import all_invariants, reconcile
from ledger.kept import KEPT
from ledger.transfers import post

RULES_OFF = """
SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;
ALTER TABLE ledger_transfer DISABLE TRIGGER USER; ALTER TABLE ledger_entry DISABLE TRIGGER USER;
ALTER TABLE ledger_hold DISABLE TRIGGER USER;
ALTER TABLE ledger_account DROP CONSTRAINT ledger_prepaid_covers_held, DROP CONSTRAINT ledger_held_not_negative;
ALTER TABLE ledger_hold DROP CONSTRAINT ledger_hold_state;
"""
RULES_ON = """
SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;
ALTER TABLE ledger_transfer ENABLE ALWAYS TRIGGER ledger_transfer_append_only,
    ENABLE ALWAYS TRIGGER ledger_transfer_balanced, ENABLE ALWAYS TRIGGER ledger_transfer_no_truncate;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER ledger_entry_append_only, ENABLE ALWAYS TRIGGER ledger_entry_balanced,
    ENABLE ALWAYS TRIGGER ledger_entry_no_truncate;
ALTER TABLE ledger_hold ENABLE ALWAYS TRIGGER ledger_hold_ends_once;
"""
FAULTS = {
    "an entry changed": ("UPDATE ledger_entry SET amount = amount + 1 WHERE amount = -3", {"I1", "I2", "I3", "I10"}),
    "both entries changed": (
        "UPDATE ledger_entry SET amount = amount * 2 WHERE abs(amount) = 3;"
        "UPDATE ledger_entry SET balance_after = 9999999994 WHERE amount = -6;"
        "UPDATE ledger_entry SET balance_after = 6 WHERE amount = 6;"
        "UPDATE ledger_account SET balance = balance - 3 WHERE kind = 'wallet';"
        "UPDATE ledger_account SET balance = balance + 3 WHERE kind = 'revenue'",
        {"I10"},
    ),
    "an entry deleted": ("DELETE FROM ledger_entry WHERE amount = -3", {"I1", "I2", "I3", "I10"}),
    "a transfer's entries deleted": ("DELETE FROM ledger_entry WHERE abs(amount) = 3", {"I2", "I3", "I10"}),
    "a reason changed": ("UPDATE ledger_transfer SET reason = 'nothing' WHERE kind = 'usage'", {"I10"}),
    "an entry's kind changed": ("UPDATE ledger_entry SET kind = 'gift' WHERE amount = -3", {"I10"}),
    "a balance changed": ("UPDATE ledger_account SET balance = balance + 1 WHERE kind = 'wallet'", {"I3"}),
    "a balance after changed": ("UPDATE ledger_entry SET balance_after = 0 WHERE amount = -3", {"I3"}),
    "more held than there is": ("UPDATE ledger_account SET held = balance + 1 WHERE kind = 'wallet'", {"I4", "I6"}),
    "less than nothing held": ("UPDATE ledger_account SET held = -1 WHERE kind = 'wallet'", {"I4", "I6"}),
    "held for nobody": ("UPDATE ledger_account SET held = held + 1 WHERE kind = 'wallet'", {"I6"}),
    "a hold forgotten": ("DELETE FROM ledger_hold", {"I6"}),
    "a hold neither open nor ended": ("UPDATE ledger_hold SET ended_at = now()", {"I6"}),
}


def execute(statements: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statements)


@pytest.fixture
def ledger(topped_up, revenue):
    post(Draft("call:1", "usage", {topped_up.pk: -3, revenue.pk: 3}))
    holds.reserve("hold:1", topped_up.pk, 5)
    return topped_up


def test_nothing_is_wrong(ledger):
    out = StringIO()
    call_command("reconcile", stdout=out)
    assert [line.split(":")[0] for line in out.getvalue().splitlines()] == [
        f"{i.name} holds" for i in all_invariants()
    ]


@pytest.mark.breaks_invariants
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(ledger, fault):
    statements, broken = FAULTS[fault]
    execute(RULES_OFF)
    execute(statements)
    execute(RULES_ON)
    assert {finding.invariant for finding in reconcile()} == broken
    with pytest.raises(CommandError, match="compensate"):
        call_command("reconcile", stdout=StringIO())


@pytest.mark.breaks_invariants
def test_a_hold_of_which_more_was_taken_than_it_held_is_found(ledger, revenue):
    holds.capture("hold:1", Draft("call:2", "usage", {ledger.pk: -5, revenue.pk: 5}))
    execute(RULES_OFF)
    execute("UPDATE ledger_hold SET amount = 4")
    execute(RULES_ON)
    assert [(found.invariant, found.detail) for found in reconcile()] == [("I6", "captured 4 at most, taken 5")]


@pytest.mark.breaks_invariants
@pytest.mark.parametrize(
    ("table", "trigger"),
    [(kept.table, trigger) for kept in KEPT for trigger in kept.triggers],
)
def test_a_rule_that_is_off_is_found(ledger, table, trigger):
    execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    assert [(found.invariant, found.subject) for found in reconcile()] == [("I10", table)]


@pytest.mark.breaks_invariants
@pytest.mark.parametrize("privilege", ["UPDATE", "DELETE", "TRUNCATE"])
@pytest.mark.parametrize("table", [kept.table for kept in KEPT if kept.is_append_only])
def test_a_privilege_that_came_back_is_found(db, table, privilege):
    execute(f"GRANT {privilege} ON {table} TO CURRENT_USER")
    assert [(found.subject, found.detail) for found in reconcile()] == [(table, f"the application may {privilege}")]


@pytest.mark.breaks_invariants
def test_a_rule_that_is_gone_is_found(db):
    execute("DROP TRIGGER billing_charge_no_truncate ON billing_charge")
    assert [(found.invariant, found.subject) for found in reconcile()] == [("I10", "billing_charge")]
