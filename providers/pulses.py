"""Looks after every connection: who was not seen to answer for PROBE_INTERVAL_S is asked, by one process at a time.

    due? ── answered a caller lately ────────────────────────────→ up, nothing is sent
         └─ claimed (SKIP LOCKED, a lease) ─ providers.pulse.ask ─→ up, or after two failures down

Any number of these may run at once, in Celery's workers: a claim is a row's next time put off in one statement, and
only who still holds it writes what was heard. A worker that dies leaves a claim that runs out.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from common.secrets import SecretsError
from metering.evidence import answered_since
from providers import keypool
from providers.alerts import raise_alert, resolve_alerts
from providers.breakers import OPEN, PROBE, Subject, announce_change, breakers_of, close_breakers, release_over
from providers.endpoints import COSTLY_KINDS
from providers.models import Alert, Connection, ConnectionKey, HealthChange, ProbeDay, Pulse, ServedModel
from providers.probe import Patience, line_to
from providers.pulse import Asked, Heard, Question, ask
from providers.sealing import open_key

AT_ONCE = 200
THREADS = 16
FAILURES_TO_BE_DOWN = 2
ASKED_AGAIN_AFTER = 1 / 8
"""Of an interval: when a first failure is looked at again."""
MOST_DOUBTED = 2
TRAFFIC = "traffic"
STAYS_DOWN = 3
"""For how many intervals a connection stays out of routing when nobody probes it any more."""
LEASE = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Claim:
    """A connection that is this process's to ask until `until`. `models` are those it serves."""

    pulse: Pulse
    until: datetime
    models: tuple[ServedModel, ...]
    key: ConnectionKey | None
    question: Question


def interval() -> timedelta:
    return timedelta(seconds=settings.PROBE_INTERVAL_S)


def _by_lot(least: float, most: float) -> timedelta:
    """A part of an interval, so that not all are asked at once."""
    return interval() * random.uniform(least, most)  # noqa: S311


def patience() -> Patience:
    """So short that two failures in a row are told within two intervals."""
    answer_s = min(max(settings.PROBE_INTERVAL_S / 6, 1.0), 10.0)
    return Patience(connect_s=min(answer_s, 5.0), read_s=answer_s, whole_s=answer_s * 2)


def probe_due() -> int:
    """Asks every connection that is due and that live traffic has not proven.

    Returns:
        How many were asked.
    """
    release_over()
    _enlist()
    claims = _claim_due()
    if claims:
        with ThreadPoolExecutor(min(len(claims), THREADS)) as threads:
            asked = {threads.submit(ask, claim.question): claim for claim in claims}
            for done in as_completed(asked):
                record(asked[done], done.result())
    return len(claims)


def _enlist() -> None:
    """Gives a pulse to connections that serve something and have none yet; not all of them at the same moment."""
    new = Connection.objects.filter(enabled=True, pulse=None, served_models__enabled=True).distinct()
    now = timezone.now()
    Pulse.objects.bulk_create(
        [Pulse(org_id=each.org_id, connection=each, next_at=now + _by_lot(0, 1)) for each in new],
        ignore_conflicts=True,
    )


def _claim_due() -> list[Claim]:
    now = timezone.now()
    with transaction.atomic():
        due = Pulse.objects.select_for_update(skip_locked=True, of=("self",)).select_related("connection__org")
        pulses = list(due.filter(next_at__lte=now, connection__enabled=True).order_by("next_at")[:AT_ONCE])
        served = _served_by(pulses)
        target_ids = [model.pk for models in served.values() for model in models]
        seen = answered_since(now - interval(), target_ids)
        doubted = {row.target_id for row in breakers_of(target_ids) if row.state == OPEN}
        return [
            claim
            for pulse in pulses
            if (claim := _claimed(pulse, served.get(pulse.connection_id, []), seen, doubted, now)) is not None
        ]


def _served_by(pulses: list[Pulse]) -> dict[int, list[ServedModel]]:
    served: dict[int, list[ServedModel]] = {}
    rows = ServedModel.objects.filter(connection__in=[pulse.connection_id for pulse in pulses], enabled=True)
    for row in rows.order_by("kind", "pk"):  # chat first: any vendor answers to it
        served.setdefault(row.connection_id, []).append(row)
    return served


def _claimed(
    pulse: Pulse, models: list[ServedModel], seen: dict[int, datetime], doubted: set[int], now: datetime
) -> Claim | None:
    """None for a connection that is proven already or that cannot be asked; its next time is set."""
    in_doubt = [model for model in models if model.pk in doubted and model.kind not in COSTLY_KINDS]
    proven = max((seen[model.pk] for model in models if model.pk in seen), default=None)
    if proven is not None and not in_doubt:
        _revive(pulse, TRAFFIC, proven)
        return None
    key, opened = _usable_key(pulse.connection)
    needs_key = pulse.connection.keys.exists() or pulse.connection.options.get(keypool.NEEDS_KEY)
    if not models or (key is None and needs_key):
        Pulse.objects.filter(pk=pulse.pk).update(next_at=now + interval())
        return None
    until = now + LEASE
    Pulse.objects.filter(pk=pulse.pk).update(next_at=until)
    question = Question(
        line_to(pulse.connection, opened),
        patience(),
        doubted=tuple(Asked(model.upstream_id, model.kind) for model in in_doubt[:MOST_DOUBTED]),
        others=tuple(Asked(model.upstream_id, model.kind) for model in models if model.kind not in COSTLY_KINDS)[:1],
    )
    return Claim(pulse, until, tuple(models), key, question)


def _usable_key(connection: Connection) -> tuple[ConnectionKey | None, str]:
    """The first key that is in use and can be opened."""
    for key in connection.keys.filter(state=ConnectionKey.ACTIVE).order_by("pk"):
        try:
            return key, open_key(key, connection)
        except SecretsError:
            continue
    return None, ""


def record(claim: Claim, heard: Heard) -> None:
    """Writes down what was heard, unless the claim ran out and somebody else asks by now."""
    with transaction.atomic():
        rows = Pulse.objects.select_for_update(of=("self",)).select_related("connection")
        pulse = rows.filter(pk=claim.pulse.pk, next_at=claim.until).first()
        if pulse is None:
            return
        _count(pulse, heard)
        if heard.alive:
            _revive(pulse, heard.proof, timezone.now(), heard)
            close_breakers(_proven(claim, heard, came_back=claim.pulse.state == Pulse.DOWN))
        else:
            _fail(pulse, heard)
    if claim.key is not None and heard.code == "key_refused":
        keypool.park_refused_key(claim.key.public_id)


def _proven(claim: Claim, heard: Heard, *, came_back: bool) -> list[Subject]:
    """Which targets are known to work: who spoke; and after an outage all of them but who was asked in vain."""
    silent = {asked.upstream_id for asked in claim.question.doubted} - heard.spoke
    return [
        Subject(model.pk, f"{claim.pulse.connection.slug}/{model.model_id}", model.org_id, model.connection_id)
        for model in claim.models
        if model.upstream_id in heard.spoke or (came_back and model.upstream_id not in silent)
    ]


def _revive(pulse: Pulse, proof: str, at: datetime, heard: Heard | None = None) -> None:
    changed = pulse.state != Pulse.UP
    Pulse.objects.filter(pk=pulse.pk).update(
        state=Pulse.UP,
        since=timezone.now() if changed else pulse.since,
        reason=heard.code if heard else "",
        detail=heard.detail if heard else "",
        proof=proof,
        failures=0,
        latency_ms=heard.latency_ms if heard else pulse.latency_ms,
        looked_at=at,
        down_until=None,
        next_at=at + _by_lot(0.8, 1.0),
    )
    if pulse.state == Pulse.DOWN:
        resolve_alerts(pulse.connection, Alert.DOWN)
    if changed:
        note_change(pulse, Pulse.UP, proof if heard is None else PROBE)


def _fail(pulse: Pulse, heard: Heard) -> None:
    now, failures = timezone.now(), pulse.failures + 1
    is_down = pulse.state == Pulse.DOWN or failures >= FAILURES_TO_BE_DOWN
    changed = is_down and pulse.state != Pulse.DOWN
    Pulse.objects.filter(pk=pulse.pk).update(
        state=Pulse.DOWN if is_down else pulse.state,
        since=now if changed else pulse.since,
        reason=heard.code,
        detail=heard.detail,
        proof=heard.proof,
        failures=failures,
        looked_at=now,
        down_until=now + STAYS_DOWN * interval() if is_down else None,
        next_at=now + (_by_lot(0.4, 0.5) if is_down else interval() * ASKED_AGAIN_AFTER),
    )
    if changed:
        raise_alert(pulse.connection, Alert.DOWN, reason=heard.code)
        note_change(pulse, Pulse.DOWN, heard.code, heard.detail)


def note_change(pulse: Pulse, after: str, reason: str, detail: str = "", actor_label: str = "") -> None:
    """The row of history of a connection's change of state, and word of it."""
    HealthChange.objects.create(
        org_id=pulse.org_id,
        connection_id=pulse.connection_id,
        name=pulse.connection.slug,
        before=pulse.state,
        after=after,
        reason=reason,
        detail=detail,
        actor_label=actor_label[:254],
    )
    announce_change()


def _count(pulse: Pulse, heard: Heard) -> None:
    today = timezone.now().date()
    day, _made = ProbeDay.objects.get_or_create(
        connection=pulse.connection, day=today, defaults={"org_id": pulse.org_id}
    )
    column = "succeeded" if heard.alive else "failed"
    ProbeDay.objects.filter(pk=day.pk).update(**{column: F(column) + 1})
