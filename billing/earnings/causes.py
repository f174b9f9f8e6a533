"""Causes and what they were given: public, and from the ledger alone. Staff write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts import audit
from accounts.audit import Actor
from accounts.audit_values import differences
from accounts.errors import InvalidField
from accounts.fields import cleaned_name
from billing.earnings.clawback import CLAWBACK
from billing.earnings.models import MISSION, Cause, CauseChoice
from billing.earnings.sharing import DONATION
from common.money import format_usd
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.models import Entry
from ledger.posting import Posted
from ledger.transfers import post

OPERATOR = Actor.system("operator")
GIFTS = (DONATION, CLAWBACK)
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
    is_gift = Q(transfer__kind__in=GIFTS)
    sums = _entries().values_list("account__reference").annotate(
        given=Sum("amount", filter=is_gift), other=Sum("amount", filter=~is_gift)
    )  # fmt: skip
    moved = {int(reference): (given or 0, -(other or 0)) for reference, given, other in sums}
    chosen = CauseChoice.objects.filter(programme__kind=MISSION)
    owners = dict(chosen.values_list("cause").annotate(count=Count("programme")))
    return {id: Total(*moved.get(id, (0, 0)), owners.get(id, 0)) for id in moved.keys() | owners.keys()}


def givers() -> int:
    """Owners who give to a cause now."""
    return CauseChoice.objects.filter(programme__kind=MISSION).values("programme").distinct().count()


def total_of(cause: Cause) -> Total:
    return totals().get(cause.pk, Total())


def per_month(cause: Cause) -> list[tuple[date, int]]:
    """The first day of each month and what was given in it, the newest first."""
    gifts = _entries().filter(account__reference=str(cause.pk), transfer__kind__in=GIFTS)
    months = gifts.annotate(month=TruncMonth("transfer__posted_at")).values_list("month").annotate(Sum("amount"))
    return [(month.date(), nanos) for month, nanos in months.order_by("-month")]


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


def _entries() -> QuerySet[Entry]:
    return Entry.objects.filter(
        account__kind=kinds.NGO_PAYABLE, account__org=None, account__currency=kinds.USD
    ).order_by()


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
