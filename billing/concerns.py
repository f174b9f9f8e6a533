"""What only a person can put right: found by a round, told to staff once, listed until one says that it is done."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain

from django.conf import settings
from django.db import transaction
from django.db.models import Count, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts import audit, mail
from accounts.audit import Actor
from accounts.models import Organization, User
from billing import payouts
from billing.models import Concern, Payout, StripeEvent, TopUp, Unsettled

CLOSED = "concern.closed"
OF_ORDERS = (Concern.OTHER_CURRENCY, Concern.IMPLAUSIBLE)
STUCK_AFTER = timedelta(hours=1)
LOOK_BACK = timedelta(days=2)
MOST = 500
BY_ITSELF = "system"

logger = logging.getLogger(__name__)


def look() -> int:
    """One round: finds what is new, closes what came right by itself, and tells staff. Returns: how many are open."""
    found = chain(_orders(), _payouts(), _unsettled(), _events())
    Concern.objects.bulk_create(found, ignore_conflicts=True)
    _close_what_came_right()
    _tell()
    return open_concerns().count()


def open_concerns() -> QuerySet[Concern]:
    """Oldest first."""
    return Concern.objects.filter(done_at=None).order_by("raised_at", "pk")


def close(pk: int, actor: Actor) -> None:
    """A person has put it right. What was done before stays as it was.

    Raises: PayoutRefused: a payout of another amount than was meant has not been taken back at Stripe. PaymentsAway.
    """
    with transaction.atomic():
        concern = Concern.objects.select_for_update().filter(pk=pk, done_at=None).first()
        if concern is None:
            return
        if concern.kind == Concern.MISMATCH:
            payouts.take_back(concern.subject, actor)
        elif concern.kind in OF_ORDERS:
            # It stays what it was: no credits came of it by themselves, and none will.
            TopUp.objects.filter(public_id=concern.subject, state=TopUp.PENDING).update(state=TopUp.FAILED)
        _close(concern, actor.label)
        owner = Organization.objects.get(pk=concern.org_id) if concern.org_id is not None else None
        about = {"what": concern.kind, "subject": concern.subject}
        audit.record(owner, actor, CLOSED, "concern", str(concern.pk), label=concern.subject, after=about)


def unsettled_count(concern: Concern) -> int:
    day, _colon, reason = concern.subject.partition(":")
    return Unsettled.objects.filter(noted_at__date=date.fromisoformat(day), reason=reason).count()


def _orders() -> Iterator[Concern]:
    for top_up in TopUp.objects.filter(state=TopUp.PENDING, failure__in=OF_ORDERS)[:MOST]:
        yield Concern(kind=top_up.failure, subject=top_up.public_id, org_id=top_up.org_id)


def _payouts() -> Iterator[Concern]:
    for payout in Payout.objects.filter(state__in=Payout.OPEN, reason=payouts.MISMATCH)[:MOST]:
        yield Concern(kind=Concern.MISMATCH, subject=payout.public_id, org_id=payout.org_id)


def _unsettled() -> Iterator[Concern]:
    """One for each day and reason."""
    recent = Unsettled.objects.filter(noted_at__gt=timezone.now() - LOOK_BACK)
    for day, reason, _n in recent.annotate(day=TruncDate("noted_at")).values_list("day", "reason", Count("pk")):
        yield Concern(kind=Concern.UNSETTLED, subject=f"{day}:{reason}")


def _events() -> Iterator[Concern]:
    for event in StripeEvent.objects.filter(handled_at=None, received_at__lt=timezone.now() - STUCK_AFTER)[:MOST]:
        yield Concern(kind=Concern.STUCK_EVENT, subject=event.pk)


def _close_what_came_right() -> None:
    gone = {
        Concern.MISMATCH: Payout.objects.exclude(state__in=Payout.OPEN).values("public_id"),
        Concern.STUCK_EVENT: StripeEvent.objects.exclude(handled_at=None).values("pk"),
    } | dict.fromkeys(OF_ORDERS, TopUp.objects.filter(state=TopUp.PAID).values("public_id"))
    for kind, subjects in gone.items():
        for concern in open_concerns().filter(kind=kind, subject__in=subjects):
            _close(concern, BY_ITSELF)


def _close(concern: Concern, by: str) -> None:
    concern.done_at, concern.done_by = timezone.now(), by[:254]
    concern.save(update_fields=["done_at", "done_by"])


def _tell() -> None:
    """Any number of rounds may run at once; each concern is mailed by one of them. Without a mail server it waits."""
    with transaction.atomic():
        new = list(open_concerns().select_for_update(skip_locked=True).filter(told_at=None)[:MOST])
        if not new:
            return
        logger.error("billing: %d things need a person: %s", len(new), ", ".join(map(str, new[:20])))
        values = {"count": len(new), "url": f"{settings.PUBLIC_URL}/staff/needs-a-person"}
        staff = User.objects.filter(is_staff=True, is_active=True).order_by("pk")
        heard = 0
        for person in staff:
            try:
                mail.send(mail.Message("needs_a_person", person.email, person.language, values))
            except mail.NOT_TAKEN:
                logger.exception("billing: staff could not be told what needs a person")
                break
            heard += 1
        if heard:
            Concern.objects.filter(pk__in=[one.pk for one in new]).update(told_at=timezone.now())
