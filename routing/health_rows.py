"""Reads and writes the rows by which processes share the health of targets. Blocking; run in a thread."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone

from nodes.models import NodeModel
from nodes.sources import target_id_of, target_of
from providers.breakers import CLOSED, HELD, OPEN, Seen, Subject, record_breakers
from providers.models import BreakerState, ConnectionKey, Pulse, ServedModel
from routing.health_news import Known, Shared, Told

LATELY = timedelta(minutes=1)


def load_shared_health() -> Shared:
    """Three queries over rows that exist only for what is not well, or was not a minute ago."""
    now = timezone.now()
    down = Pulse.objects.filter(state=Pulse.DOWN, down_until__gt=now, connection__served_models__enabled=True)
    out_of_use: dict[int, tuple[str, float | None]] = {
        target_id: ("probe_failed", until.timestamp())
        for target_id, until in down.values_list(F("connection__served_models__pk"), "down_until")
        if target_id is not None and until is not None
    }
    lately = Q(state=CLOSED, since__gt=now - LATELY)
    rows = BreakerState.objects.filter(Q(state=HELD) | Q(state=OPEN, until__gt=now) | lately)
    breakers = []
    for row in rows:
        if row.state != HELD:
            until_s = row.until.timestamp() if row.until else 0.0
            breakers.append(Known(row.target_id, row.credential_id, row.state == OPEN, until_s, row.change))
        elif row.until is None or row.until > now:
            out_of_use[row.target_id] = ("held_open", row.until.timestamp() if row.until else None)
    back = ConnectionKey.objects.filter(state=ConnectionKey.ACTIVE, state_changed_at__gt=now - LATELY)
    returned = [(pk, at.timestamp()) for pk, at in back.values_list("pk", "state_changed_at") if at is not None]
    return Shared(out_of_use, breakers, returned)


def write_breakers(told: Iterable[Told]) -> None:
    """What a breaker did whose target is gone by now is dropped."""
    told = list(told)
    subjects = subjects_of({each.target_id for each in told})
    keys = ConnectionKey.objects.filter(pk__in=[each.credential_id for each in told])
    names = dict(keys.values_list("pk", "public_id"))
    record_breakers(
        Seen(
            subject,
            each.credential_id,
            names.get(each.credential_id, ""),
            is_open=each.until is not None,
            until=datetime.fromtimestamp(each.until, UTC) if each.until is not None else None,
            reason=each.reason or "answered",
        )
        for each in told
        if (subject := subjects.get(each.target_id)) is not None
    )


def subjects_of(target_ids: Iterable[int]) -> dict[int, Subject]:
    """Models of connections have positive ids, those of machines negative ones."""
    ids = set(target_ids)
    served = ServedModel.objects.filter(pk__in=[each for each in ids if each > 0]).select_related("connection")
    machines = NodeModel.objects.filter(pk__in=[-each for each in ids if each < 0]).select_related("node__org")
    return {row.pk: subject_of(row) for row in served} | {target_id_of(row): subject_of(row) for row in machines}


def subject_of(row: ServedModel | NodeModel) -> Subject:
    if isinstance(row, ServedModel):
        return Subject(row.pk, f"{row.connection.slug}/{row.model_id}", row.org_id, row.connection_id)
    return Subject(target_id_of(row), target_of(row.node, row).name, row.org_id)
