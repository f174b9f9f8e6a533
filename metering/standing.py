"""How an organisation's budgets stand: used, held for requests in flight, and where the present pace leads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Budget, Limit, Organization
from metering.budgets import span_of
from metering.models import BudgetWindow

WARNED_AT, REACHED_AT = 80, 100
LEAST_ELAPSED = 0.01
"""Of a window; before that its pace tells nothing."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One budget in its present window, in its own unit. `forecast` is what its end will have seen, at this pace."""

    limit: Limit
    unit: str
    window: str
    amount: int
    used: int
    held: int
    starts_at: datetime
    ends_at: datetime | None
    forecast: int | None

    @property
    def percent(self) -> int:
        return 100 * self.used // self.amount

    @property
    def left(self) -> int:
        return max(0, self.amount - self.used)

    @property
    def mark(self) -> int:
        """The highest mark that was passed, 0 for none."""
        return max((mark for mark in (WARNED_AT, REACHED_AT) if self.percent >= mark), default=0)

    @property
    def runs_out_at(self) -> datetime | None:
        """At this pace, if that is before the window ends."""
        if self.forecast is None or self.used >= self.amount or self.forecast <= self.amount:
            return None
        elapsed = timezone.now() - self.starts_at
        return self.starts_at + elapsed * (self.amount / self.used)


def standings_of(organization: Organization) -> list[Standing]:
    budgets = Budget.objects.of(organization).select_related("limit")
    return standings(budgets, BudgetWindow.objects.of(organization))


def marked_of(organization: Organization) -> list[Standing]:
    """Those that are nearly or wholly used, the fullest first; there are none without any of `told_of`."""
    marked = [standing for standing in standings_of(organization) if standing.mark]
    return sorted(marked, key=lambda standing: -standing.percent)


def told_of(organization: Organization) -> QuerySet[BudgetWindow]:
    """Windows under way of which somebody was told that they are nearly or wholly used."""
    windows: QuerySet[BudgetWindow] = BudgetWindow.objects.of(organization).filter(alerted_percent__gte=WARNED_AT)
    return windows.filter(Q(ends_at=None) | Q(ends_at__gt=timezone.now()))


def standings(budgets: Iterable[Budget], windows: Iterable[BudgetWindow]) -> list[Standing]:
    now = timezone.now()
    by_name = {_name(row): row for row in _loaded(windows, now)}
    return [_standing(budget, by_name.get(_name_of(budget)), now) for budget in budgets]


def _loaded(windows: Iterable[BudgetWindow], now: datetime) -> Iterable[BudgetWindow]:
    rows = windows.select_related("account") if hasattr(windows, "select_related") else windows
    return [row for row in rows if row.ends_at is None or row.starts_at <= now < row.ends_at]


def _name(row: BudgetWindow) -> tuple[object, ...]:
    return row.org_id, row.scope, row.subject, row.unit, row.window


def _name_of(budget: Budget) -> tuple[object, ...]:
    return budget.org_id, budget.limit.scope, budget.limit.subject, budget.unit, budget.window


def _standing(budget: Budget, window: BudgetWindow | None, now: datetime) -> Standing:
    starts_at, ends_at = span_of(budget.window, now)
    used = held = 0
    if window is not None:
        used, held = window.allotted - window.account.balance + window.overrun, window.account.held
    forecast = None
    if ends_at is not None and (now - starts_at) / (ends_at - starts_at) >= LEAST_ELAPSED:
        forecast = round(used * ((ends_at - starts_at) / (now - starts_at)))
    return Standing(budget.limit, budget.unit, budget.window, budget.amount, used, held, starts_at, ends_at, forecast)
