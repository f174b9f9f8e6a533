"""PostgreSQL itself refuses what must not be, also to the application's ordinary role."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.models import Organization
from ledger import holds
from ledger.drafts import Draft
from ledger.models import Account
from ledger.transfers import post, reverse

TABLES = ("ledger_account", "ledger_transfer", "ledger_entry", "ledger_hold", "ledger_lessee", "ledger_lease")


def attempt(*statements: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def ordinary_role(topped_up, revenue):
    """The application's role where it is no superuser: it owns the tables, as migrations left them."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("CREATE ROLE ledger_tester; GRANT ALL ON SCHEMA public TO ledger_tester")
        cursor.execute("GRANT SELECT, UPDATE ON accounts_organization TO ledger_tester")
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} OWNER TO ledger_tester")
        cursor.execute("SET ROLE ledger_tester")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; RESET ROLE")


@pytest.mark.parametrize("table", ["ledger_transfer", "ledger_entry"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {} SET id = id",
        "UPDATE {} SET id = id WHERE false",
        "DELETE FROM {}",
        "WITH gone AS (DELETE FROM {} RETURNING 1) SELECT * FROM gone",
        "SET LOCAL session_replication_role = replica; DELETE FROM {}",
    ],
)
def test_history_is_not_changed(topped_up, statement, table):
    with pytest.raises(IntegrityError, match="append-only"):
        attempt(statement.format(table))


@pytest.mark.parametrize("table", ["ledger_transfer", "ledger_entry", "billing_charge"])
def test_history_is_not_truncated(topped_up, table):
    attempt("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError, match="append-only"):
        attempt(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transfer SET kind = 'x'",
        "UPDATE ledger_transfer SET id = id",
        "UPDATE ledger_entry SET amount = 1",
        "DELETE FROM ledger_transfer",
        "DELETE FROM ledger_entry",
        "DELETE FROM ledger_account",
        "UPDATE ledger_account SET is_prepaid = false",
    ],
)
def test_the_ordinary_role_is_refused(ordinary_role, statement):
    with pytest.raises(DatabaseError, match=r"append-only|permission denied|stays what it is"):
        attempt(statement)


def test_the_ordinary_role_does_all_that_the_ledger_does(ordinary_role, topped_up, revenue, stands):
    post(Draft("call:1", "usage", {topped_up.pk: -3, revenue.pk: 3}))
    attempt("SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED")
    reverse("call:1", "charged twice")
    holds.reserve("hold:1", topped_up.pk, 4)
    holds.capture("hold:1", Draft("call:2", "usage", {topped_up.pk: -4, revenue.pk: 4}))
    assert stands(revenue) == (4, 0)


def test_a_transfer_that_does_not_sum_to_zero_is_refused_at_the_end(topped_up):
    with pytest.raises(IntegrityError, match="do not sum to zero"):
        attempt(
            "INSERT INTO ledger_transfer (business_id, kind, reason, digest) VALUES ('x', 'x', '', '')",
            "INSERT INTO ledger_entry (transfer_id, account_id, amount, balance_after)"
            f" SELECT id, {topped_up.pk}, 1, 1 FROM ledger_transfer WHERE business_id = 'x'",
            "SET CONSTRAINTS ALL IMMEDIATE",
        )


def test_a_transfer_without_entries_is_refused(db):
    with pytest.raises(IntegrityError, match="do not sum to zero"):
        attempt(
            "INSERT INTO ledger_transfer (business_id, kind, reason, digest) VALUES ('x', 'x', '', '')",
            "SET CONSTRAINTS ALL IMMEDIATE",
        )


def test_an_entry_added_later_is_refused(topped_up):
    with pytest.raises(IntegrityError, match="do not sum to zero"):
        attempt(
            "INSERT INTO ledger_entry (transfer_id, account_id, amount, balance_after)"
            f" SELECT id, {topped_up.pk}, 1, 1 FROM ledger_transfer",
            "SET CONSTRAINTS ALL IMMEDIATE",
        )


@pytest.mark.parametrize(
    "change",
    [
        "balance = -1",
        "held = -1",
        "held = balance + 1",
        "is_prepaid = false",
        "kind = 'revenue'",
        "org_id = NULL",
        "currency = 'EUR'",
    ],
)
def test_what_an_account_cannot_become(topped_up, change):
    with pytest.raises(IntegrityError):
        attempt(f"UPDATE ledger_account SET {change} WHERE id = {topped_up.pk}")


def test_a_prepaid_kind_is_prepaid(acme):
    with pytest.raises(IntegrityError, match="ledger_prepaid_kinds"), transaction.atomic():
        Account.objects.create(org=acme, kind="wallet", is_prepaid=False)


def test_an_organization_with_money_is_not_deleted(topped_up, acme):
    with pytest.raises(IntegrityError), transaction.atomic():
        Organization.objects.filter(pk=acme.pk).delete()


@pytest.mark.parametrize("change", ["amount = 1", "state = 'reserved'", "business_id = 'x'"])
def test_an_open_hold_is_only_ended(topped_up, change):
    holds.reserve("hold:1", topped_up.pk, 4)
    with pytest.raises(IntegrityError, match="ends once"):
        attempt(f"UPDATE ledger_hold SET {change}")


def test_an_ended_hold_stays_ended(topped_up):
    holds.reserve("hold:1", topped_up.pk, 4)
    holds.release("hold:1")
    for statement in ("UPDATE ledger_hold SET state = 'reserved', ended_at = NULL", "DELETE FROM ledger_hold"):
        with pytest.raises(IntegrityError, match="ends once"):
            attempt(statement)
