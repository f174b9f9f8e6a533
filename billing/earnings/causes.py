"""Causes and what they were given: public, and from the ledger alone. Staff write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.audit_values import differences
from accounts.errors import InvalidField
from accounts.fields import cleaned_name
from billing.earnings.models import Cause, CauseChoice
from common.money import format_usd
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.history import stands_at
from ledger.models import Account, Entry, Transfer
from ledger.posting import Posted
from ledger.transfers import REVERSAL, post

OPERATOR = Actor.system("operator")
CAUSE_PAYOUT = "cause_payout"
_LONGEST = {"name": 120, "summary": 240, "about": 4000, "website": 300}
_IS_WEB = URLValidator(schemes=["https", "http"])


@dataclass(frozen=True, slots=True)
class Total:
    """Nano-USD: `given` by owners, what was taken back subtracted; `paid_out` of it to the cause. `givers` now."""

    given: int = 0
    paid_out: int = 0
    givers: int = 0

    @property
    def owed(self) -> int:
        return self.given - self.paid_out


def open_causes() -> QuerySet[Cause]:
    return Cause.objects.filter(closed_at=None).order_by("name")


def totals() -> dict[int, Total]:
    """By the id of the cause, of those that ever got something or are chosen now."""
    accounts = {account.pk: account for account in _payables()}
    paid = dict(_payments().values_list("account").annotate(nanos=-Sum("amount")))
    moved = {
        int(account.reference): (account.balance + paid.get(pk, 0), paid.get(pk, 0))
        for pk, account in accounts.items()
    }
    owners = dict(CauseChoice.objects.values_list("cause").annotate(count=Count("programme")))
    return {id: Total(*moved.get(id, (0, 0)), owners.get(id, 0)) for id in moved.keys() | owners.keys()}


def givers() -> int:
    """Owners who give to a cause now."""
    return CauseChoice.objects.values("programme").distinct().count()


def total_of(cause: Cause) -> Total:
    return totals().get(cause.pk, Total())


def per_month(cause: Cause) -> list[tuple[date, int]]:
    """The first day of each month (UTC) and what was given in it, the newest first."""
    account = _payables().filter(reference=str(cause.pk)).first()
    first = Transfer.objects.filter(entries__account=account).order_by("entries__id").first() if account else None
    if account is None or first is None:
        return []
    starts = _months(first.posted_at, timezone.now() + timedelta(days=1))
    paid = list(_payments().filter(account=account).values_list("id", "amount"))
    given = [
        (
            begun.date(),
            end.balance - start.balance - sum(nanos for id, nanos in paid if start.first_id <= id < end.first_id),
        )
        for begun, (start, end) in zip(starts, pairwise(stands_at(account.pk, starts)), strict=False)
    ]
    return [(month, nanos) for month, nanos in reversed(given) if nanos]


def _months(since: datetime, until: datetime) -> list[datetime]:
    """Each one's first moment, up to the first that is later than `until`."""
    starts = [since.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)]
    while starts[-1] <= until:
        starts.append((starts[-1] + timedelta(days=32)).replace(day=1))
    return starts


def pay(cause: Cause, nanos: int, reference: str, actor: Actor = OPERATOR) -> Posted:
    """Notes that the operator has paid so much to a cause, by its bank; once for each reference.

    Raises: InvalidField. NotCovered: it is owed less. BusinessIdReused: another amount was noted for this reference.
    """
    reference = cleaned_name(reference, longest=80, field="reference")
    if nanos <= 0:
        raise InvalidField.one("amount_usd", _("Give an amount above zero."))
    payable = ensure_account(kinds.NGO_PAYABLE, reference=str(cause.pk))
    bank = ensure_account(kinds.BANK_CLEARING)
    moves = {payable.pk: -nanos, bank.pk: nanos}
    with transaction.atomic():
        posted = post(Draft(f"cause:{cause.slug}:{reference}", CAUSE_PAYOUT, moves, reason=reference))
        if posted.is_new:
            _note(cause, actor, "cause.paid", after={"amount_usd": format_usd(nanos), "reference": reference})
    return posted


def add(given: Mapping[str, Any], actor: Actor = OPERATOR) -> Cause:
    """Raises: InvalidField."""
    said = _cleaned(given)
    with transaction.atomic():
        cause = Cause(**said)
        cause.slug = _free_slug(cause.name)
        cause.save()
        _note(cause, actor, "cause.created", after=said)
    return cause


def edit(cause: Cause, given: Mapping[str, Any], actor: Actor = OPERATOR) -> Cause:
    """The short name stays, for links to it. Raises: InvalidField."""
    said = _cleaned(given)
    with transaction.atomic():
        before, after = differences({name: getattr(cause, name) for name in said}, said)
        for name, value in said.items():
            setattr(cause, name, value)
        cause.save()
        if after:
            _note(cause, actor, "cause.updated", before=before, after=after)
    return cause


def close(cause: Cause, actor: Actor = OPERATOR) -> Cause:
    """Nothing more goes to it from the next settled request on; what it was given stays its own, its page too."""
    if cause.closed_at is None:
        _set_closed(cause, timezone.now(), actor, "cause.closed")
    return cause


def reopen(cause: Cause, actor: Actor = OPERATOR) -> Cause:
    if cause.closed_at is not None:
        _set_closed(cause, None, actor, "cause.reopened")
    return cause


def _set_closed(cause: Cause, at: datetime | None, actor: Actor, action: str) -> None:
    with transaction.atomic():
        before, cause.closed_at = cause.closed_at, at
        cause.save(update_fields=["closed_at"])
        _note(cause, actor, action, before={"closed_at": before}, after={"closed_at": at})


def _note(cause: Cause, actor: Actor, action: str, **changes: Mapping[str, Any]) -> None:
    audit.record(None, actor, action, "cause", cause.slug, label=cause.name, **changes)


def _payables() -> QuerySet[Account]:
    return Account.objects.filter(kind=kinds.NGO_PAYABLE, org=None, currency=kinds.USD)


def _payments() -> QuerySet[Entry]:
    """What was paid out, and payments taken back. All else that moves what is owed to a cause is gifts."""
    moved = Entry.objects.filter(account__in=_payables(), kind__in=(CAUSE_PAYOUT, REVERSAL))
    return moved.filter(Q(kind=CAUSE_PAYOUT) | Q(transfer__reverses__kind=CAUSE_PAYOUT))


def _cleaned(given: Mapping[str, Any]) -> dict[str, str]:
    cleaned = {name: str(given.get(name) or "").strip() for name in _LONGEST}
    cleaned["name"] = cleaned_name(cleaned["name"], longest=_LONGEST["name"])
    cleaned["summary"] = cleaned_name(cleaned["summary"], longest=_LONGEST["summary"], field="summary")
    for name, longest in _LONGEST.items():
        if len(cleaned[name]) > longest:
            raise InvalidField.one(name, _("At most %s characters.") % longest)
    if cleaned["website"]:
        try:
            _IS_WEB(cleaned["website"])
        except ValidationError:
            raise InvalidField.one("website", _("Give an address that begins with https://.")) from None
    return cleaned


def _free_slug(name: str) -> str:
    stem = slugify(name)[:50].strip("-") or "cause"
    taken = set(Cause.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(slug for slug in numbered if slug not in taken)
