"""Budgets as the data plane holds them: each amount that somebody set is a `Budget`, made when a snapshot loads.

A budget's window has an account in the ledger, with the budget's amount in it; `metering.windows` opens it, and
`metering.treasury` spends from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from accounts import scopes
from accounts.scopes import (
    BLOCK,
    CREDITS_FIRST,
    DAILY,
    LIFETIME,
    MONTHLY,
    TOKENS_FIRST,
    USD,
    WARN,
    WEEKLY,
    LimitRecord,
)
from ledger import kinds

PURSE = "purse"
"""The scope of what is no budget that somebody set but the organisation's own money."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Budget(msgspec.Struct, frozen=True, gc=False):
    """One amount of one scope. `name` tells it apart from all others, whatever its amount.

    Attributes:
        subject: as `accounts.models.Limit` stores it.
        label: how callers know the subject; "" where they are not told.
        amount: nano-USD or tokens.
    """

    name: str
    org_id: int
    scope: str
    subject: str
    label: str
    unit: str
    window: str
    amount: int
    when_reached: str


Kept = tuple[Budget, ...]


class Purses(msgspec.Struct, frozen=True):
    """What pays for what others serve: the organisation's own accounts in the ledger, in the form of budgets.

    Attributes:
        payers: in their order; all but the last leave the rest to the next one at once.
        unbacked: those that pay for models for which credits are no backup of tokens.
        backup: whether they are one; `unlike` are the models for which it is the other way round.
    """

    payers: tuple[Budget, ...]
    unbacked: tuple[Budget, ...]
    backup: bool = True
    unlike: frozenset[str] = frozenset()

    def of(self, models: Iterable[str]) -> tuple[Budget, ...]:
        """Those that pay for a request that any of these models may serve, in their order."""
        if self.unbacked is self.payers or all(self.backup != (model in self.unlike) for model in models):
            return self.payers
        return self.unbacked


class Budgets(msgspec.Struct, frozen=True):
    """All budgets of one organisation. Keys are found by their row's id, whichever key they replace.

    `purses` is None where nothing that the organisation may use is paid from its balance.
    """

    organization: Kept
    members: dict[int, Kept]
    keys: dict[int, Kept]
    routes: dict[str, Kept]
    models: dict[str, Kept]
    purses: Purses | None = None

    def of_caller(self, user_id: int | None, key_id: int, route: str) -> list[Budget]:
        """What holds wherever the request goes."""
        found = [*self.organization]
        if user_id is not None and (kept := self.members.get(user_id)):
            found += kept
        if kept := self.keys.get(key_id):
            found += kept
        if route and (kept := self.routes.get(route)):
            found += kept
        return found


def purses_of(
    org_id: int,
    *,
    has_tokens: bool = False,
    order: str = TOKENS_FIRST,
    backup: bool = True,
    unlike: Iterable[str] = (),
) -> Purses:
    """Args: has_tokens: an account of tokens was opened, what its machines earn goes there."""
    credits = (_purse(org_id, kinds.WALLET),)
    if not has_tokens:
        return Purses(credits, credits)
    tokens = (_purse(org_id, kinds.TOKENS),)
    if order == CREDITS_FIRST:
        both = (_purse(org_id, kinds.WALLET, WARN), *tokens)
        return Purses(both, both)
    return Purses((_purse(org_id, kinds.TOKENS, WARN), *credits), tokens, backup, frozenset(unlike))


def _purse(org_id: int, kind: str, when_reached: str = BLOCK) -> Budget:
    return Budget(f"{org_id}:{PURSE}:{kind}", org_id, PURSE, kind, "", USD, LIFETIME, 0, when_reached)


def budgets_of(org_id: int, records: Iterable[LimitRecord], purses: Purses | None = None) -> Budgets | None:
    """None when there is none."""
    by_scope: dict[str, dict[str, Kept]] = {}
    for record in records:
        if not record.budgets:
            continue
        kept = by_scope.setdefault(record.scope, {})
        kept[record.subject] = tuple(
            _budget(org_id, record, one.unit, one.window, one.amount) for one in record.budgets
        )
        for other in record.also:
            kept[other] = kept[record.subject]
    if not by_scope and purses is None:
        return None
    return Budgets(
        organization=by_scope.get(scopes.ORGANISATION, {}).get("", ()),
        members={int(subject): kept for subject, kept in by_scope.get(scopes.MEMBER, {}).items()},
        keys={int(subject): kept for subject, kept in by_scope.get(scopes.KEY, {}).items()},
        routes=by_scope.get(scopes.ROUTE, {}),
        models=by_scope.get(scopes.MODEL, {}),
        purses=purses,
    )


def _budget(org_id: int, record: LimitRecord, unit: str, window: str, amount: int) -> Budget:
    return Budget(
        name=f"{org_id}:{record.scope}:{record.subject}:{unit}:{window}",
        org_id=org_id,
        scope=record.scope,
        subject=record.subject,
        label=record.label,
        unit=unit,
        window=window,
        amount=amount,
        when_reached=record.when_reached,
    )


def span_of(window: str, now: datetime) -> tuple[datetime, datetime | None]:
    """When the window that `now` is in began and when the next one begins, in UTC; None for one without an end."""
    if window == LIFETIME:
        return BEGINNING, None
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if window == DAILY:
        return today, today + timedelta(days=1)
    if window == WEEKLY:
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(days=7)
    assert window == MONTHLY
    first = today.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)
