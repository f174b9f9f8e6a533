"""Causes and what they were given: public, and from the ledger alone. Staff write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db import connection, transaction
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
from ledger.errors import NotCovered
from ledger.history import stands_at
from ledger.models import Account, Entry, Transfer
from ledger.posting import Posted
from ledger.transfers import REVERSAL, post

OPERATOR = Actor.system("operator")
CAUSE_PAYOUT = "cause_payout"
_LONGEST = {"name": 120, "summary": 240, "about": 4000, "website": 300}
_NOT_SLUGS = {"new", "review"}
"""Pages of other things lie where pages of such causes would."""

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

    Raises: InvalidField: also where it is owed less. BusinessIdReused: another amount was noted for this reference.
    """
    reference = cleaned_name(reference, longest=80, field="reference")
    if nanos <= 0:
        raise InvalidField.one("amount_usd", _("Give an amount above zero."))
    payable = ensure_account(kinds.NGO_PAYABLE, reference=str(cause.pk))
    bank = ensure_account(kinds.BANK_CLEARING)
    moves = {payable.pk: -nanos, bank.pk: nanos}
    with transaction.atomic():
        try:
            posted = post(Draft(f"cause:{cause.slug}:{reference}", CAUSE_PAYOUT, moves, reason=reference))
        except NotCovered:
            raise InvalidField.one("amount_usd", _("More than is owed to it.")) from None
        if posted.is_new:
            _note(cause, actor, "cause.paid", after={"amount_usd": format_usd(nanos), "reference": reference})
    return posted


def add(given: Mapping[str, Any], actor: Actor = OPERATOR) -> Cause:
    """Raises: InvalidField: also where there is one of this name, for a wish that arrives twice is one."""
    said = _cleaned(given)
    with transaction.atomic():
        _refuse_second(said["name"])
        cause = Cause(**said)
        cause.slug = _free_slug(cause.name)
        cause.save()
        _note(cause, actor, "cause.created", after=said)
    return cause


def edit(cause: Cause, given: Mapping[str, Any], actor: Actor = OPERATOR) -> Cause:
    """What is not given stays, the short name too, for links to it. Raises: InvalidField."""
    with transaction.atomic():
        row = _locked(cause)
        kept = {name: getattr(row, name) for name in _LONGEST}
        before, after = differences(kept, _cleaned(kept | dict(given)))
        if "name" in after:
            _refuse_second(after["name"], row)
        for name, value in after.items():
            setattr(row, name, value)
        if after:
            row.save(update_fields=[*after])
            _note(row, actor, "cause.updated", before=before, after=after)
    return row


def close(cause: Cause, actor: Actor = OPERATOR) -> Cause:
    """Nothing more goes to it from the next settled request on; what it was given stays its own, its page too."""
    return _set_closed(cause, timezone.now(), actor, "cause.closed")


def reopen(cause: Cause, actor: Actor = OPERATOR) -> Cause:
    return _set_closed(cause, None, actor, "cause.reopened")


def _set_closed(cause: Cause, at: datetime | None, actor: Actor, action: str) -> Cause:
    """Whoever wishes the same at the same time finds it done."""
    with transaction.atomic():
        row = _locked(cause)
        if (row.closed_at is None) is (at is None):
            return row
        before, row.closed_at = row.closed_at, at
        row.save(update_fields=["closed_at"])
        _note(row, actor, action, before={"closed_at": before}, after={"closed_at": at})
    return row


def _locked(cause: Cause) -> Cause:
    return Cause.objects.select_for_update().get(pk=cause.pk)


def _refuse_second(name: str, cause: Cause | None = None) -> None:
    """Until the transaction ends nobody else takes this name, nor the short name made of it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('billing.causes', 0))")
    named = Cause.objects.filter(name__iexact=name)
    if (named.exclude(pk=cause.pk) if cause else named).exists():
        raise InvalidField.one("name", _("There is a cause of this name already."))


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
    if stem not in taken and stem not in _NOT_SLUGS:
        return stem
    return next(slug for slug in numbered if slug not in taken)
