"""Migrations on a database of their own: from nothing, again, back to nothing, and the same once more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection as default
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from accounts.models import Organization

FRESH = "fresh"
CHOSEN_AT_0003 = """
INSERT INTO earnings_programme (org_id, kind, donated_percent, is_public, public_name, changed_at)
VALUES (%s, %s, %s, false, '', now())
"""
READ_CHOSEN = "SELECT o.slug, {} FROM earnings_programme p JOIN accounts_organization o ON o.id = p.org_id"
OURS = (
    "console_api",
    "console",
    "routing",
    "earnings",
    "billing",
    "nodes",
    "providers",
    "metering",
    "ledger",
    "accounts",
)
"""The applications that have tables, those that refer to others first."""
ROOMS = {"common", "accounts", "ledger", "metering", "providers", "nodes", "routing", "billing", "console"}

SCHEMA = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, character_maximum_length
        FROM information_schema.columns WHERE table_schema = 'public'
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    """,
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "triggers": "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "partitions": "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition",
}


@pytest.fixture(scope="module")
def fresh(django_db_setup, django_db_blocker) -> Iterator[str]:
    """The alias of an empty database."""
    with django_db_blocker.unblock():
        settings = default.settings_dict
        name = f"{settings['NAME']}_{FRESH}"
        with default.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        connections.databases[FRESH] = {**settings, "NAME": name}
        try:
            yield FRESH
        finally:
            connections[FRESH].close()
            del connections.databases[FRESH], connections[FRESH]
            with default.cursor() as cursor:
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def migrated(fresh: str) -> str:
    migrate()
    return fresh


def migrate(*where: str) -> None:
    call_command("migrate", *where, database=FRESH, verbosity=0, interactive=False)


def schema() -> dict[str, set[tuple]]:
    with connections[FRESH].cursor() as cursor:
        found = {}
        for kind, query in SCHEMA.items():
            cursor.execute(query)
            found[kind] = set(cursor.fetchall())
        return found


def tables() -> set[str]:
    return set(connections[FRESH].introspection.table_names())


def unapplied() -> list[object]:
    executor = MigrationExecutor(connections[FRESH])
    return executor.migration_plan(executor.loader.graph.leaf_nodes())


def test_every_application_with_tables_is_looked_at():
    ours = [config for config in apps.get_app_configs() if config.name.partition(".")[0] in ROOMS]
    assert {config.label for config in ours if (Path(config.path) / "migrations").exists()} == set(OURS)


def test_from_empty_and_a_second_time(fresh):
    migrate()
    assert unapplied() == []
    before = schema()
    assert {model._meta.db_table for model in apps.get_models()} <= tables()
    migrate()
    assert schema() == before


def test_each_application_goes_back_to_nothing_and_comes_back_the_same(migrated):
    before = schema()
    for label in OURS:
        migrate(label, "zero")
        assert not [table for table in tables() if table.startswith(f"{label}_")]
    with connections[FRESH].cursor() as cursor:
        cursor.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        assert cursor.fetchall() == []
    migrate()
    after = schema()
    for kind in SCHEMA:
        assert after[kind] == before[kind], kind


def test_every_programme_that_was_chosen_stays_so_there_and_back(migrated):
    kinds = {"rewards": (0, 0), "exchange": (100, 0), "mission": (0, 40)}
    with connections[FRESH].cursor() as cursor:
        migrate("earnings", "0003")
        for number, (kind, (_exchanged, donated)) in enumerate(kinds.items(), start=1):
            org = Organization.objects.using(FRESH).create(public_id=f"org_{number}", name=kind, slug=kind)
            cursor.execute(CHOSEN_AT_0003, (org.pk, kind, donated))
        migrate("earnings")
        cursor.execute(READ_CHOSEN.format("p.exchanged_percent, p.donated_percent"))
        assert {slug: parts for slug, *parts in cursor.fetchall()} == {kind: [*kinds[kind]] for kind in kinds}
        migrate("earnings", "0003")
        cursor.execute(READ_CHOSEN.format("p.kind"))
        assert dict(cursor.fetchall()) == {kind: kind for kind in kinds}
        migrate("earnings")
        cursor.execute("DELETE FROM earnings_programme; DELETE FROM accounts_organization")


def test_no_migration_is_missing(db):
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
