"""Removes what a test has committed, at the price of what there is: Django's `flush` truncates every table."""

from __future__ import annotations

from functools import cache

from django.db import connection, transaction
from django.test import TransactionTestCase

from tests.kept import truncating

MADE_WITH_THE_TABLES = {"django_content_type", "auth_permission", "django_site"}
"""What `flush` makes again after it has removed it."""
_ALWAYS_GUARDED = """
    SELECT relname FROM pg_class WHERE oid IN (
        SELECT tgrelid FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'A' AND tgtype & 8 <> 0
    )
"""

_flush = TransactionTestCase._fixture_teardown


def empty_tables(case: TransactionTestCase) -> None:
    """Leaves the database as `flush` would. Takes the place of `TransactionTestCase._fixture_teardown`."""
    assert connection.settings_dict["NAME"].startswith("test_"), "this is no database of the tests"
    if not _may_pass_over_rules():
        with transaction.atomic(), connection.cursor() as cursor, truncating(cursor):
            return _flush(case)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in _tables()))
        written = {name for (name,) in cursor.fetchall()}
        deleted, truncated = written - _guarded(), written & _guarded()
        words = ["SET LOCAL session_replication_role = replica"]  # neither foreign keys nor most rules are looked at
        words += [f"DELETE FROM {name}" for name in deleted]
        cursor.execute("; ".join(words))
        if truncated:
            with truncating(cursor, truncated):
                cursor.execute(f"TRUNCATE {', '.join(truncated)} CASCADE")
    return None


@cache
def _may_pass_over_rules() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SHOW is_superuser")
        return cursor.fetchone() == ("on",)


@cache
def _tables() -> tuple[str, ...]:
    known = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return tuple(sorted(set(known) - MADE_WITH_THE_TABLES))


@cache
def _guarded() -> frozenset[str]:
    """Tables of which nobody deletes rows in any role."""
    with connection.cursor() as cursor:
        cursor.execute(_ALWAYS_GUARDED)
        return frozenset(table for (table,) in cursor.fetchall())


def empty(table: str) -> None:
    """For tables that Django does not manage; one with all its partitions."""
    with connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN IF EXISTS (SELECT FROM {table}) THEN TRUNCATE {table}; END IF; END $$")
