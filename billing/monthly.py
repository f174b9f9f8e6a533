"""Statements: what a month did to an organisation's accounts, from the ledger alone, closed once and for ever.

    opening ─► movements by kind ─► closing        of the credits, and of what its machines have earned
                  └─ usage by target               from the charges that those transfers are made of
                  └─ corrections by month          prices that were put right later, of months closed before

A statement holds the entries after the last one that a statement held before, up to the last one that was posted in
its month. So every entry is in exactly one, whenever its transaction ended, and what one closes with the next one
opens with. A price corrected afterwards is posted later, and so stands in a later statement.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Max, Min, Sum

from accounts.models import Organization
from billing.monthly_models import MonthlyStatement
from common.ids import new_id
from ledger import kinds
from ledger.models import Account, Entry

SETTLES_WITHIN = timedelta(hours=3)
"""After a month's end: until then journals of its last requests may still come in."""
SHOWN = (kinds.WALLET, kinds.TOKENS, kinds.REWARDS_ESCROW, kinds.REWARDS_AVAILABLE)

USAGE = """
WITH moved AS (
    SELECT e.transfer_id FROM ledger_entry e
    WHERE e.account_id = %(account)s AND e.id > %(after)s AND e.id <= %(up_to)s
), charged AS (
    SELECT c.* FROM billing_charge c
    WHERE c.org_id = %(org_id)s AND c.transfer_id IN (SELECT transfer_id FROM moved)
      AND c.transfer_id >= (SELECT min(transfer_id) FROM moved)
      AND c.transfer_id <= (SELECT max(transfer_id) FROM moved)
)
"""
BY_TARGET = (
    USAGE  # noqa: S608  made of constants
    + """
SELECT coalesce(max(CASE WHEN c.part = '' THEN u.target ELSE u.attempts -> (c.part::int - 1) ->> 'target' END), ''),
    c.target_id, count(*), sum(c.input_tokens)::bigint, sum(c.output_tokens)::bigint,
    sum(c.charge_nanos - c.written_off_nanos - c.tokens_nanos)::bigint
FROM (SELECT *, split_part(request_id, '#', 1) AS request, split_part(request_id, '#', 2) AS part FROM charged) c
LEFT JOIN metering_usage u ON u.started_at = c.started_at AND u.request_id = c.request
WHERE c.revision = 0 GROUP BY c.target_id ORDER BY 6 DESC, 2
"""
)
CORRECTIONS = (
    USAGE
    + """
SELECT to_char(date_trunc('month', c.started_at AT TIME ZONE %(zone)s), 'YYYY-MM'), count(*),
    sum(c.charge_nanos - c.written_off_nanos - c.tokens_nanos)::bigint
FROM charged c WHERE c.revision > 0 GROUP BY 1 ORDER BY 1
"""
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Movement:
    """All transfers of one kind together, in nano-USD."""

    kind: str
    count: int
    nanos: int


@dataclass(frozen=True, slots=True)
class AccountMonth:
    """`opening` and the movements add up to `closing`."""

    kind: str
    opening: int
    movements: tuple[Movement, ...]
    closing: int


@dataclass(frozen=True, slots=True)
class Used:
    """What one target came to: the part of the usage that credits paid."""

    target: str
    requests: int
    input_tokens: int
    output_tokens: int
    nanos: int


@dataclass(frozen=True, slots=True)
class Correction:
    """Of requests of a month, as "2026-10", at a price that was put right."""

    month: str
    requests: int
    nanos: int


@dataclass(frozen=True, slots=True)
class Document:
    accounts: tuple[AccountMonth, ...]
    usage: tuple[Used, ...]
    corrections: tuple[Correction, ...]

    @classmethod
    def of(cls, statement: MonthlyStatement) -> Document:
        said = statement.document
        return cls(
            tuple(
                AccountMonth(**{**one, "movements": tuple(Movement(**move) for move in one["movements"])})
                for one in said["accounts"]
            ),
            tuple(Used(**one) for one in said["usage"]),
            tuple(Correction(**one) for one in said["corrections"]),
        )

    @property
    def wallet(self) -> AccountMonth:
        """The credits; nothing in them where there is no such account yet."""
        return next((one for one in self.accounts if one.kind == kinds.WALLET), AccountMonth(kinds.WALLET, 0, (), 0))


def close_months(now: datetime) -> int:
    """Makes what is missing of every organisation that has accounts. Any number of these may run at once.

    Returns: how many statements were made.
    """
    owners = Account.objects.filter(org__isnull=False, kind__in=SHOWN, currency=kinds.USD)
    organizations = Organization.objects.filter(pk__in=owners.values("org"))
    return sum(_close_safely(organization, now) for organization in organizations.iterator())


def _close_safely(organization: Organization, now: datetime) -> int:
    """One that cannot be closed does not keep the others waiting."""
    try:
        return close_of(organization, now)
    except DatabaseError:
        logger.exception("billing: the months of organisation %s were not closed", organization.pk)
        return 0


def close_of(organization: Organization, now: datetime) -> int:
    """The months of one organisation that have ended since the last statement, oldest first."""
    made = 0
    for month, end in _open_months(organization, now):
        made += _close(organization, month, end)
    return made


def _open_months(organization: Organization, now: datetime) -> Iterator[tuple[date, datetime]]:
    """Months with the moment at which they ended, in the organisation's zone of now."""
    zone = ZoneInfo(organization.time_zone)
    last = MonthlyStatement.objects.of(organization).aggregate(month=Max("month"))["month"]
    if last is None:
        first = Entry.objects.filter(account__in=_accounts(organization)).aggregate(at=Min("transfer__posted_at"))[
            "at"
        ]
        if first is None:
            return
        month = first.astimezone(zone).date().replace(day=1)
    else:
        month = _next(last)
    while (end := _begin(_next(month), zone)) + SETTLES_WITHIN <= now:
        yield month, end
        month = _next(month)


def _close(organization: Organization, month: date, end: datetime) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"billing.months.{organization.pk}"])
        if MonthlyStatement.objects.of(organization).filter(month__gte=month).exists():
            return 0
        before = MonthlyStatement.objects.of(organization).order_by("month").last()
        after = {int(account): entry for account, entry in before.cuts.items()} if before else {}
        accounts = [*_accounts(organization).order_by("pk")]
        cuts = {account.pk: _cut(account, end, after.get(account.pk, 0)) for account in accounts}
        document = Document(
            tuple(_month_of(account, after.get(account.pk, 0), cuts[account.pk]) for account in accounts),
            *_details(organization, accounts, after, cuts),
        )
        MonthlyStatement.objects.create(
            org=organization,
            public_id=new_id("stmt"),
            month=month,
            zone=organization.time_zone,
            document=asdict(document),
            cuts=cuts,
        )
    return 1


def _accounts(organization: Organization) -> Any:
    return Account.objects.of(organization).filter(kind__in=SHOWN, currency=kinds.USD, reference="")


def _cut(account: Account, end: datetime, after: int) -> int:
    """The last entry that was posted before the month's end."""
    rows = Entry.objects.filter(account=account, id__gt=after, transfer__posted_at__lt=end)
    return rows.aggregate(last=Max("id"))["last"] or after


def _month_of(account: Account, after: int, cut: int) -> AccountMonth:
    rows = Entry.objects.filter(account=account, id__gt=after, id__lte=cut)
    moved = rows.values("kind").annotate(count=Count("id"), nanos=Sum("amount"))
    movements = tuple(Movement(row["kind"], row["count"], int(row["nanos"])) for row in moved.order_by("kind"))
    opening = _balance_at(account, after)
    return AccountMonth(account.kind, opening, movements, opening + sum(one.nanos for one in movements))


def _balance_at(account: Account, entry: int) -> int:
    found = (
        Entry.objects.filter(account=account, id__lte=entry).order_by("-id").values_list("balance_after", flat=True)
    )
    return found.first() or 0


def _details(
    organization: Organization, accounts: list[Account], after: Mapping[int, int], cuts: Mapping[int, int]
) -> tuple[tuple[Used, ...], tuple[Correction, ...]]:
    """What the movements of the credits are made of."""
    wallet = next((account.pk for account in accounts if account.kind == kinds.WALLET), None)
    if wallet is None:
        return (), ()
    given: dict[str, Any] = {
        "org_id": organization.pk, "zone": organization.time_zone, "account": wallet,
        "after": after.get(wallet, 0), "up_to": cuts[wallet],
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(BY_TARGET, given)
        used = tuple(Used(target or f"target {id}", *figures) for target, id, *figures in cursor.fetchall())
        cursor.execute(CORRECTIONS, given)
        return used, tuple(Correction(*row) for row in cursor.fetchall())


def _next(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)


def _begin(month: date, zone: ZoneInfo) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=zone).astimezone(UTC)
