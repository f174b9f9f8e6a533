"""Accounts by kind and owner, through a cursor: for those who post in transactions that are not Django's."""

from __future__ import annotations

from collections.abc import Iterable

from ledger import kinds
from ledger.posting import Cursor

FIND = """
SELECT a.kind, a.org_id, a.id FROM ledger_account a JOIN unnest(%s::text[], %s::bigint[]) AS w (kind, org_id)
ON a.kind = w.kind AND a.org_id IS NOT DISTINCT FROM w.org_id WHERE a.currency = %s AND a.reference = ''
"""
OPEN = """
INSERT INTO ledger_account (kind, org_id, is_prepaid, currency, reference, balance, held)
SELECT w.*, %s, '', 0, 0 FROM unnest(%s::text[], %s::bigint[], %s::boolean[]) AS w
ON CONFLICT DO NOTHING
"""
PURSES = "SELECT id, kind, org_id FROM ledger_account WHERE id = ANY(%s) AND kind = ANY(%s)"
TELL = "UPDATE accounts_organization SET version = version + 1 WHERE id = ANY(%s::bigint[])"
"""That an organisation has tokens now is found by those who serve it, when they look for a newer version."""

Wanted = tuple[str, int | None]
"""A kind, and the organisation whose it is; None for the platform."""


class AccountIds:
    """In US dollars, without a reference. Remembers what it found: an account is never deleted."""

    def __init__(self) -> None:
        self._found: dict[Wanted, int] = {}
        self._purses: dict[int, Wanted] = {}

    def ensure(self, cursor: Cursor, wanted: Iterable[Wanted]) -> dict[Wanted, int]:
        """Opens those that are not there yet; does not remember these, as the transaction may come to nothing."""
        wanted = list(wanted)
        missing = [one for one in wanted if one not in self._found]
        if missing:
            self._found |= self._find(cursor, missing)
        new = sorted((one for one in missing if one not in self._found), key=lambda one: (one[1] or 0, one[0]))
        opened: dict[Wanted, int] = {}
        if new:
            names, orgs = [kind for kind, _ in new], [org for _, org in new]
            cursor.execute(OPEN, (kinds.USD, names, orgs, [kind in kinds.PREPAID for kind in names]))
            opened = self._find(cursor, new)
            cursor.execute(TELL, ([org for kind, org in new if kind == kinds.TOKENS],))
        return {one: self._found[one] if one in self._found else opened[one] for one in wanted}

    def owners(self, cursor: Cursor, ids: Iterable[int]) -> dict[int, Wanted]:
        """Kind and organisation of those that are an organisation's credits or tokens."""
        unknown = [id for id in ids if id not in self._purses]
        if unknown:
            cursor.execute(PURSES, (unknown, [kinds.WALLET, kinds.TOKENS]))
            self._purses |= {id: (kind, org) for id, kind, org in cursor.fetchall()}
        return {id: self._purses[id] for id in ids if id in self._purses}

    def _find(self, cursor: Cursor, wanted: list[Wanted]) -> dict[Wanted, int]:
        cursor.execute(FIND, ([kind for kind, _ in wanted], [org for _, org in wanted], kinds.USD))
        return {(kind, org): id for kind, org, id in cursor.fetchall()}
