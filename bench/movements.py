"""A ledger with a long life, for `bench.activity`: settlements, donations and matured rewards, and ten vouchers.

Made by a few statements, with the rules that look at each row off meanwhile, and true to all that the ledger itself
proves: sums, balances after each entry, digests. No charges and no lots are behind it, so what rooms above prove does
not hold of it.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accounts.models import Organization

CAUSES = ("Trees for All", "Clean Water", "Open Books")
MODELS = 100
PAGES = (
    "/billing", "/billing?kind=voucher", "/billing?kind=refund", "/earnings", "/causes", "/causes/trees-for-all",
)  # fmt: skip

_MOVES = """
CREATE TEMPORARY TABLE bench_move ON COMMIT DROP AS
SELECT n, kind, CASE kind WHEN 'voucher' THEN %(promo)s WHEN 'settlement' THEN %(wallet)s
        WHEN 'exchange' THEN %(promo)s WHEN 'maturity' THEN %(escrow)s ELSE %(revenue)s END AS giver,
    CASE kind WHEN 'voucher' THEN %(wallet)s WHEN 'settlement' THEN %(cost)s WHEN 'exchange' THEN %(escrow)s
        WHEN 'maturity' THEN %(rewards)s
        ELSE (%(causes)s::bigint[])[1 + n %% cardinality(%(causes)s::bigint[])] END AS taker,
    CASE WHEN n <= 10 THEN 1000000000000000 ELSE 1000 + n * 2654435761 %% 4294967291 %% 4000000 END AS amount,
    %(from)s::timestamptz + (%(to)s::timestamptz - %(from)s::timestamptz) * (n::float8 / %(count)s) AS at,
    'bench:' || n AS business_id
FROM (
    SELECT n, CASE WHEN n < 10 THEN 'voucher' WHEN n = 10 THEN 'exchange' WHEN n %% 4 = 3 THEN 'donation'
        WHEN n %% 16 = 5 THEN 'maturity' ELSE 'settlement' END AS kind
    FROM generate_series(0::bigint, %(count)s - 1) AS n
) AS k
"""
_TRANSFERS = r"""
INSERT INTO ledger_transfer (business_id, kind, reason, digest, posted_at)
SELECT business_id, kind, '', sha256(convert_to(concat_ws(E'\n', business_id, kind, '', '', '',
    CASE WHEN giver < taker THEN giver || ':' || -amount || ',' || taker || ':' || amount
         ELSE taker || ':' || amount || ',' || giver || ':' || -amount END), 'UTF8')), at
FROM bench_move ORDER BY n
"""
_ENTRIES = """
INSERT INTO ledger_entry (transfer_id, account_id, amount, balance_after, kind)
SELECT t.id, account, moved, a.balance + sum(moved) OVER (PARTITION BY account ORDER BY n), m.kind
FROM bench_move m JOIN ledger_transfer t USING (business_id)
CROSS JOIN LATERAL (VALUES (giver, -amount), (taker, amount)) AS v (account, moved)
JOIN ledger_account a ON a.id = account ORDER BY n, account
"""
_BALANCES = """
UPDATE ledger_account a SET balance = s.balance
FROM (SELECT account_id, sum(amount) AS balance FROM ledger_entry GROUP BY 1) s WHERE s.account_id = a.id
"""
_RULES = (("ledger_transfer", "ledger_transfer_balanced"), ("ledger_entry", "ledger_entry_balanced"))


def fill(organization: Organization, entries: int, days: int, now: datetime) -> None:
    """So many entries, two for each transfer, of which most move the organisation's wallet."""
    from django.db import connection, transaction

    from billing.earnings import causes
    from ledger import kinds
    from ledger.chart import ensure_account

    made = [causes.add({"name": name, "summary": "Does good."}) for name in CAUSES]
    given: dict[str, Any] = {
        "promo": ensure_account(kinds.PROMO).pk,
        "revenue": ensure_account(kinds.REVENUE).pk,
        "cost": ensure_account(kinds.PROVIDER_COST).pk,
        "wallet": ensure_account(kinds.WALLET, organization).pk,
        "escrow": ensure_account(kinds.REWARDS_ESCROW, organization).pk,
        "rewards": ensure_account(kinds.REWARDS_AVAILABLE, organization).pk,
        "causes": [ensure_account(kinds.NGO_PAYABLE, reference=str(cause.pk)).pk for cause in made],
    }
    span = {"from": now - timedelta(days=days), "to": now, "count": entries // 2}
    with transaction.atomic(), connection.cursor() as cursor:
        for table, rule in _RULES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {rule}")
        cursor.execute(_MOVES, given | span)
        for statement in (_TRANSFERS, _ENTRIES, _BALANCES, "SET CONSTRAINTS ALL IMMEDIATE"):
            cursor.execute(statement)
        for table, rule in _RULES:
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {rule}")
    _earn(organization, days, now.date())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE ledger_transfer, ledger_entry, ledger_account, earnings_lot")


def _earn(organization: Organization, days: int, today: date) -> None:
    from billing.earnings.models import Lot

    Lot.objects.bulk_create(
        Lot(
            org=organization, target_id=-number, day=today - timedelta(days=day), requests=100, input_tokens=90_000,
            output_tokens=30_000, paid=10**9, earned=7 * 10**8, escrow=7 * 10**8,
            matured=7 * 10**8 if day > 14 else 0,
        )
        for number in range(1, MODELS + 1)
        for day in range(days)
    )  # fmt: skip


def proven_s() -> dict[str, float]:
    """How long each of the ledger's own invariants took. Raises: AssertionError: one does not hold."""
    from time import monotonic

    from ledger.invariants import INVARIANTS, violations_of

    took_s = {}
    for invariant in INVARIANTS:
        begun_s = monotonic()
        found = violations_of(invariant)
        assert not found, found[0]
        took_s[invariant.name] = monotonic() - begun_s
    return took_s


def read_whole(statements: list[tuple[str, Any]]) -> set[str]:
    """Tables of the ledger that the plan of any of these reads from end to end."""
    from django.db import connection

    found = set()
    with connection.cursor() as cursor:
        for sql, params in statements:
            if sql.lstrip().upper().startswith(("SELECT", "WITH")) and "ledger_" in sql:
                cursor.execute(f"EXPLAIN {sql}", params)
                plan = "\n".join(line for (line,) in cursor.fetchall())
                found |= {name for name in ("ledger_entry", "ledger_transfer") if f"Seq Scan on {name}" in plan}
    return found
