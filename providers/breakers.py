"""The state of breakers that all processes share, and the history of every change of health.

    processes of the data plane ─ record_breakers ─┐
    probes ─ close_breakers ───────────────────────┼→ BreakerState + HealthChange → word to all processes
    people ─ hold_target, reset_target ────────────┘

Rows are the truth; the word only says that there is news. What a person holds open, evidence does not close.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import events
from accounts.audit import Actor
from accounts.channel import HEALTH
from metering.evidence import forget_attempts
from providers.models import BreakerState, HealthChange, ProbeDay

CLOSED, OPEN, HELD = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HELD
ANY_KEY = BreakerState.WHOLE

PERSON, PROBE, TIME_IS_UP = "person", "probe", "time_is_up"
"""Reasons of changes beside the kinds of failure that the data plane meets."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A target, as its owner calls it. `connection_id` is 0 for a machine's, `org_id` None for the platform's."""

    target_id: int
    name: str
    org_id: int | None
    connection_id: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a process of the data plane learnt: the breaker of a target and key opened until then, or closed."""

    subject: Subject
    credential_id: int
    credential: str
    is_open: bool
    until: datetime | None
    reason: str


def announce_change() -> None:
    """When the transaction is through. Fails open: every process looks at the rows once a second in any case."""
    transaction.on_commit(lambda: events.announce(HEALTH, "changed"))


def record_breakers(seen: Iterable[Seen]) -> int:
    """
    Returns:
        How many were news: of several processes that meet the same outage the first one writes it down.
    """
    with transaction.atomic():
        news = sum(_record(each) for each in sorted(seen, key=_in_one_order))
        if news:
            announce_change()
    return news


def _in_one_order(seen: Seen) -> tuple[int, int]:
    """Two processes that report at once must lock the rows in the same order."""
    return seen.subject.target_id, seen.credential_id


def _record(seen: Seen) -> bool:
    row = _locked(seen.subject, seen.credential_id)
    state = OPEN if seen.is_open else CLOSED
    if row.state == state:
        if seen.until and (row.until is None or seen.until > row.until):
            BreakerState.objects.filter(pk=row.pk).update(until=seen.until)
        return False
    _move(row, seen.subject, state, seen.reason, until=seen.until, credential=seen.credential)
    return True


def close_breakers(subjects: Iterable[Subject], reason: str = PROBE) -> int:
    """Whatever is open of these targets, with any key, because they were seen to work."""
    by_id = {subject.target_id: subject for subject in subjects}
    with transaction.atomic():
        rows = BreakerState.objects.select_for_update().filter(target_id__in=by_id, state=OPEN)
        closed = [_move(row, by_id[row.target_id], CLOSED, reason) for row in rows.order_by("target_id", "pk")]
        if closed:
            announce_change()
    return len(closed)


def hold_target(subject: Subject, actor: Actor, seconds: int | None, note: str = "") -> None:
    """Takes a target out of use, for so long or until it is reset. For use inside the transaction of the change."""
    row = _locked(subject, ANY_KEY)
    until = timezone.now() + timedelta(seconds=seconds) if seconds else None
    if row.state == HELD:
        BreakerState.objects.filter(pk=row.pk).update(until=until)
    else:
        _move(row, subject, HELD, PERSON, until=until, actor=actor, detail=note)
    announce_change()


def reset_target(subject: Subject, actor: Actor) -> bool:
    """Closes everything of a target, whoever opened it. For use inside the transaction of the change."""
    rows = BreakerState.objects.select_for_update().filter(target_id=subject.target_id).exclude(state=CLOSED)
    closed = [_move(row, subject, CLOSED, PERSON, actor=actor) for row in rows.order_by("pk")]
    announce_change()
    return bool(closed)


def release_over() -> int:
    """Ends what people held open for a time that is over."""
    with transaction.atomic():
        rows = BreakerState.objects.select_for_update(skip_locked=True).filter(state=HELD, until__lte=timezone.now())
        released = [_move(row, _subject_of(row), CLOSED, TIME_IS_UP) for row in rows]
        if released:
            announce_change()
    return len(released)


def breakers_of(target_ids: Iterable[int]) -> list[BreakerState]:
    """What is not closed of these targets, with held ones whose time is over left out."""
    rows = BreakerState.objects.filter(target_id__in=list(target_ids)).exclude(state=CLOSED)
    return list(rows.exclude(Q(state=HELD), Q(until__lte=timezone.now())))


def is_in_force(row: BreakerState) -> bool:
    """Neither closed nor held for a time that is over."""
    return row.state != CLOSED and not (row.state == HELD and row.until is not None and row.until <= timezone.now())


def history_of(target_id: int, connection_id: int, most: int = 50) -> list[HealthChange]:
    """Changes of a target and of the connection it stands behind, newest first."""
    own = Q(target_id=target_id)
    if connection_id:
        own |= Q(target_id=0, connection_id=connection_id)
    return list(HealthChange.objects.filter(own).order_by("-pk")[:most])


def forget_old_health(now: datetime | None = None) -> int:
    """Deletes history older than HEALTH_HISTORY_DAYS, and closed or long forgotten breakers that old."""
    before = (now or timezone.now()) - timedelta(days=settings.HEALTH_HISTORY_DAYS)
    forgotten, _rows = HealthChange.objects.filter(at__lt=before).delete()
    ProbeDay.objects.filter(day__lt=before.date()).delete()
    forget_attempts(before)
    BreakerState.objects.filter(since__lt=before).exclude(state=HELD).delete()
    return forgotten


def _locked(subject: Subject, credential_id: int) -> BreakerState:
    BreakerState.objects.bulk_create(
        [
            BreakerState(
                org_id=subject.org_id,
                target_id=subject.target_id,
                credential_id=credential_id,
                target=subject.name,
            )
        ],
        ignore_conflicts=True,
    )
    return BreakerState.objects.select_for_update().get(target_id=subject.target_id, credential_id=credential_id)


def _subject_of(row: BreakerState) -> Subject:
    return Subject(row.target_id, row.target, row.org_id)


def _move(
    row: BreakerState,
    subject: Subject,
    state: str,
    reason: str,
    *,
    until: datetime | None = None,
    credential: str = "",
    actor: Actor | None = None,
    detail: str = "",
) -> HealthChange:
    """Writes one change of state, and its row of history."""
    now = timezone.now()
    change = HealthChange.objects.create(
        org_id=subject.org_id,
        at=now,
        connection_id=subject.connection_id,
        target_id=subject.target_id,
        name=subject.name,
        credential=credential,
        before=row.state,
        after=state,
        reason=reason,
        detail=detail[:400],
        actor_label=actor.label[:254] if actor else "",
    )
    BreakerState.objects.filter(pk=row.pk).update(
        state=state, since=now, until=until, reason=reason, change=change.pk, target=subject.name
    )
    return change
