"""Tables that nobody truncates: the tests do, between two of them, and put the rules back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

NEVER_TRUNCATED = {
    "accounts_auditevent": "audit_no_truncate",
    "accounts_operatorevent": "audit_no_truncate",
    "billing_charge": "billing_charge_no_truncate",
    "ledger_entry": "ledger_entry_no_truncate",
    "ledger_transfer": "ledger_transfer_no_truncate",
}


@contextmanager
def truncating(cursor: Any, tables: Collection[str] = tuple(NEVER_TRUNCATED)) -> Iterator[None]:
    """Args: tables: which of them are to be emptied; accounts of the ledger take their entries with them."""
    kept = {*NEVER_TRUNCATED} & {*tables}
    if any(table.startswith("ledger_") for table in tables):
        kept |= {"ledger_entry", "ledger_transfer"}
    for table in sorted(kept):
        cursor.execute(f"GRANT TRUNCATE ON {table} TO CURRENT_USER")
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {NEVER_TRUNCATED[table]}")
    yield
    for table in sorted(kept):
        cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {NEVER_TRUNCATED[table]}")
        cursor.execute(f"REVOKE TRUNCATE ON {table} FROM CURRENT_USER")
