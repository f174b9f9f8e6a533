"""References between tenant rows that cannot cross organisations, held by PostgreSQL itself.

The target needs a unique constraint on (org, id); the reference then carries the organisation along. Used in
migrations, next to Django's own foreign key, since Django has no composite ones.
"""

from __future__ import annotations

from django.db.migrations import RunSQL

_LONGEST_IDENTIFIER = 63


def same_organization(table: str, column: str, target: str) -> RunSQL:
    """`table.column` may name only a row of `target` with the same `org_id`. Deferred, like Django's own."""
    name = f"{table}_{column}_same_org"
    if len(name) > _LONGEST_IDENTIFIER:
        raise ValueError(f"{name} is longer than {_LONGEST_IDENTIFIER} characters")
    return RunSQL(
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" FOREIGN KEY (org_id, "{column}") '
        f'REFERENCES "{target}" (org_id, id) DEFERRABLE INITIALLY DEFERRED',
        f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"',
    )
