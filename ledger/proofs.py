"""The hourly proof of the ledger: one at a time, kept for staff to see, and told to them when it finds something.

A proof reads everything. On a large installation that takes longer than an hour: then the next ones wait for it, and
a broker that hands the same task out again hands it to nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts import mail
from accounts.models import User
from ledger.invariants import all_invariants, violations_of
from ledger.models import Proof

KEPT_FOR = timedelta(days=90)
LATE_AFTER = timedelta(hours=3)
_LOCK = 0x1ED6E5  # of this module alone, among PostgreSQL's advisory locks
_MAILED = 20
"""So many findings stand in an e-mail; the page has them all."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What staff see: the newest proof that was completed, and whether one was stopped since or is overdue."""

    newest: Proof | None
    was_stopped: bool
    is_late: bool


def prove() -> Proof | None:
    """Reads all invariants and keeps what it found. Returns: None while another process is at it.

    Fails: what was read until the process died is kept, without an end; the next proof tells staff.
    """
    with _alone() as is_alone:
        if not is_alone:
            return None
        Proof.objects.filter(started_at__lt=timezone.now() - KEPT_FOR).delete()
        proof = Proof.objects.create()
        for invariant in all_invariants():
            begun_s = monotonic()
            found = violations_of(invariant)
            proof.findings += [[one.invariant, one.subject, one.detail] for one in found]
            for one in found:
                logger.error("ledger: %s does not hold for %s: %s", one.invariant, one.subject, one.detail)
            proof.took_s[invariant.name] = round(proof.took_s.get(invariant.name, 0) + monotonic() - begun_s, 3)
            proof.save(update_fields=["findings", "took_s"])
        proof.ended_at = timezone.now()
        proof.save(update_fields=["ended_at"])
        _tell(proof)
        return proof


def standing() -> Standing:
    newest = Proof.objects.exclude(ended_at=None).order_by("-started_at").first()
    unended = Proof.objects.filter(ended_at=None)
    if newest is not None:
        unended = unended.filter(started_at__gt=newest.started_at)
    is_late = newest is None or newest.ended_at is None or newest.ended_at < timezone.now() - LATE_AFTER
    return Standing(newest, is_late and unended.exists(), is_late)


@contextmanager
def _alone() -> Iterator[bool]:
    """PostgreSQL forgets the lock with the connection of a process that dies."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        (is_alone,) = cursor.fetchone()
        try:
            yield is_alone
        finally:
            if is_alone:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _tell(proof: Proof) -> None:
    """Staff hear of findings that are others than those of the proof before, and of proofs that were stopped."""
    earlier = Proof.objects.filter(started_at__lt=proof.started_at)
    before = earlier.exclude(ended_at=None).order_by("-started_at").first()
    stopped = list(earlier.filter(ended_at=None, told_at=None))
    is_news = bool(proof.findings) and (before is None or before.findings != proof.findings or before.told_at is None)
    if not is_news and proof.findings and before is not None:
        Proof.objects.filter(pk=proof.pk).update(told_at=before.told_at)
    if (is_news or stopped) and _mailed(proof, len(stopped), is_news=is_news):
        pks = [one.pk for one in stopped] + ([proof.pk] if is_news else [])
        Proof.objects.filter(pk__in=pks).update(told_at=timezone.now())


def _mailed(proof: Proof, stopped: int, *, is_news: bool) -> bool:
    """Returns: whether the mail server took it; else the next proof tries again."""
    values = {
        "findings": proof.findings[:_MAILED] if is_news else [],
        "count": len(proof.findings) if is_news else 0,
        "stopped": stopped,
        "limit_s": settings.RECONCILE_LIMIT_S,
        "url": f"{settings.PUBLIC_URL}/staff/audit",
    }
    for user in User.objects.filter(is_staff=True, is_active=True).order_by("pk"):
        try:
            mail.send(mail.Message("ledger_proof", user.email, user.language, values))
        except mail.NOT_TAKEN as error:
            logger.error("ledger: %s could not be told of the proof: %s", user.email, error)
            return False
    return True
