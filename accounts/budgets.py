"""Budgets as people write them: `{"amount_usd": "25", "window": "monthly"}` or `{"tokens": 9, "window": "daily"}`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from accounts.errors import InvalidField
from accounts.models import Budget, Limit
from accounts.scopes import BLOCK, TOKENS, USD, WHEN_REACHED, WINDOWS, BudgetRecord
from common.money import AmountInvalid, nanos_from_usd, usd_from_nanos
from common.numbers import is_whole, plain

MOST_BUDGETS = len(WINDOWS) * 2
MOST = 1_000_000_000_000
_FIELDS = {"amount_usd", "tokens", "window"}

Written = dict[str, Any]


def written(records: Iterable[BudgetRecord]) -> list[Written]:
    """In the order of windows, money first."""
    ordered = sorted(records, key=lambda record: (WINDOWS.index(record.window), record.unit != USD))
    return [_written(record) for record in ordered]


def records_of(limit: Limit | None) -> list[BudgetRecord]:
    if limit is None or limit.pk is None:
        return []
    return [BudgetRecord(row.unit, row.window, row.amount) for row in limit.budgets.all()]


def read(entries: Sequence[Mapping[str, Any]]) -> list[BudgetRecord]:
    """Raises: InvalidField: an amount that is none, a window that there is not, or one that is said twice."""
    records: list[BudgetRecord] = []
    for entry in entries:
        record = _read(entry)
        if any((other.unit, other.window) == (record.unit, record.window) for other in records):
            raise InvalidField({"budgets": [_("Give one budget of money and one of tokens for each window.")]})
        records.append(record)
    return records


def checked_policy(when_reached: str | None) -> str:
    """Raises: InvalidField."""
    if when_reached is None:
        return BLOCK
    if when_reached not in WHEN_REACHED:
        raise InvalidField({"when_reached": [_("Choose one of: %s.") % ", ".join(WHEN_REACHED)]})
    return when_reached


def replace(limit: Limit, records: Iterable[BudgetRecord]) -> None:
    limit.budgets.all().delete()
    rows = [Budget(org_id=limit.org_id, limit=limit, unit=r.unit, window=r.window, amount=r.amount) for r in records]
    Budget.objects.bulk_create(rows)


def _written(record: BudgetRecord) -> Written:
    if record.unit == TOKENS:
        return {"tokens": record.amount, "window": record.window}
    return {"amount_usd": plain(usd_from_nanos(record.amount)), "window": record.window}


def _read(entry: Mapping[str, Any]) -> BudgetRecord:
    usd, tokens, window = entry.get("amount_usd"), entry.get("tokens"), entry.get("window")
    if set(entry) - _FIELDS or window not in WINDOWS or (usd is None) == (tokens is None):
        raise InvalidField(
            {"budgets": [_("A budget is an amount_usd or a number of tokens, and one of %s.") % ", ".join(WINDOWS)]}
        )
    if tokens is not None:
        if not is_whole(tokens, 1, MOST):
            raise InvalidField({"budgets": [_("Tokens are a whole number from 1 to %s.") % MOST]})
        return BudgetRecord(TOKENS, str(window), tokens)
    return BudgetRecord(USD, str(window), _nanos(usd))


def _nanos(usd: Any) -> int:
    try:
        nanos = nanos_from_usd(Decimal(str(usd)))
    except (InvalidOperation, AmountInvalid):
        nanos = 0
    if nanos <= 0:
        raise InvalidField({"budgets": [_("Give an amount in US dollars above zero, such as 25 or 0.50.")]})
    return nanos
