"""Tables that PostgreSQL itself keeps as they were written, whoever asks, and the proof that it still does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """By triggers that fire always and, where nothing is ever changed, by privileges that nobody has."""

    table: str
    triggers: tuple[str, ...]
    is_append_only: bool = True


KEPT = [
    Kept(
        "ledger_transfer",
        ("ledger_transfer_append_only", "ledger_transfer_no_truncate", "ledger_transfer_balanced"),
    ),
    Kept("ledger_entry", ("ledger_entry_append_only", "ledger_entry_no_truncate", "ledger_entry_balanced")),
    Kept("ledger_hold", ("ledger_hold_ends_once",), is_append_only=False),
    Kept("ledger_account", ("ledger_account_identity",), is_append_only=False),
    Kept("accounts_auditevent", ("audit_append_only", "audit_no_truncate")),
    Kept("accounts_operatorevent", ("audit_append_only", "audit_no_truncate")),
]


def keep(tables: Iterable[Kept]) -> None:
    """Adds another room's tables."""
    KEPT.extend(table for table in tables if table not in KEPT)


def broken_rules() -> str:
    """SQL that selects a table and what keeps it no longer."""
    watched = ", ".join(f"('{kept.table}', '{name}')" for kept in KEPT for name in kept.triggers)
    append_only = ", ".join(f"'{kept.table}'" for kept in KEPT if kept.is_append_only)
    return f"""
        SELECT w.name, 'its trigger is missing or off' FROM (VALUES {watched}) AS w (name, trigger_name)
        WHERE NOT EXISTS (SELECT FROM pg_trigger g
            WHERE g.tgrelid = w.name::regclass AND g.tgname = w.trigger_name AND g.tgenabled = 'A')
        UNION ALL
        SELECT table_name::text, 'the application may ' || privilege_type FROM information_schema.table_privileges
        WHERE table_schema = current_schema() AND grantee IN (current_user, 'PUBLIC')
        AND privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE') AND table_name IN ({append_only})
    """  # noqa: S608  made of the names above
