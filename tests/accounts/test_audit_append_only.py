"""PostgreSQL itself refuses to change the audit trail."""

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditEvent


def attempt(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditevent SET action = 'nothing'",
        "UPDATE accounts_auditevent SET action = 'nothing' WHERE false",
        "DELETE FROM accounts_auditevent",
        "INSERT INTO accounts_auditevent SELECT * FROM accounts_auditevent"
        " ON CONFLICT (id) DO UPDATE SET action = 'nothing'",
        "WITH gone AS (DELETE FROM accounts_auditevent RETURNING 1) SELECT * FROM gone",
        "SET LOCAL session_replication_role = replica; DELETE FROM accounts_auditevent",
    ],
)
def test_update_and_delete_are_refused(acme, statement):
    with pytest.raises(IntegrityError, match="append-only"):
        attempt(statement)
    assert AuditEvent.objects.of(acme).get().action == "organization.created"


def test_truncate_is_refused(acme):
    attempt("SET CONSTRAINTS ALL IMMEDIATE")
    for table in ("accounts_auditevent", "accounts_organization"):
        with pytest.raises(IntegrityError, match="append-only"):
            attempt(f"TRUNCATE {table} CASCADE")


def test_the_orm_is_refused_too(acme):
    event = AuditEvent.objects.of(acme).get()
    event.action = "nothing"
    with pytest.raises(IntegrityError), transaction.atomic():
        event.save()
    with pytest.raises(IntegrityError), transaction.atomic():
        event.delete()


def test_the_applications_role_has_no_right_to_it(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT privilege_type FROM information_schema.role_table_grants"
            " WHERE table_name = 'accounts_auditevent' AND grantee = current_user"
        )
        granted = {row[0] for row in cursor.fetchall()}
    assert {"INSERT", "SELECT"} <= granted
    assert not granted & {"UPDATE", "DELETE"}


def test_appending_goes_on(acme, rival):
    assert AuditEvent.objects.count() == 2
