"""Reads and writes the rows by which processes share the health of targets. Blocking; run in a thread."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connection

from nodes.models import NodeModel
from nodes.sources import target_id_of, target_of
from providers.breakers import HELD, OPEN, Seen, Subject, record_breakers
from providers.models import ConnectionKey, ServedModel
from routing.health_news import Known, Shared, Told

DOWN, RETURNED = "down", "returned"
_NOT_WELL = """
SELECT 'down', served.id, 0, EXTRACT(EPOCH FROM pulse.down_until)::float8, 0
  FROM providers_pulse pulse JOIN providers_servedmodel served ON served.connection_id = pulse.connection_id
 WHERE pulse.state = 'down' AND pulse.down_until > statement_timestamp() AND served.enabled
UNION ALL
SELECT state, target_id, credential_id, EXTRACT(EPOCH FROM until)::float8, change
  FROM providers_breakerstate
 WHERE (state = 'held_open' AND (until IS NULL OR until > statement_timestamp()))
    OR (state = 'open' AND until > statement_timestamp())
    OR (state = 'closed' AND since > statement_timestamp() - interval '1 minute')
UNION ALL
SELECT 'returned', id, 0, EXTRACT(EPOCH FROM state_changed_at)::float8, 0
  FROM providers_connectionkey
 WHERE state = 'active' AND state_changed_at > statement_timestamp() - interval '1 minute'
"""
"""Kind, id of the target or key, id of the key, Unix time, number of the change. In plain SQL, since every process
asks it every second, and putting queries together costs more than asking them."""


def load_shared_health() -> Shared:
    """One query over rows that exist only for what is not well, or was not a minute ago."""
    out_of_use: dict[int, tuple[str, float | None]] = {}
    breakers: list[Known] = []
    returned: list[tuple[int, float]] = []
    with connection.cursor() as cursor:
        cursor.execute(_NOT_WELL)
        for kind, id_, credential_id, at_s, change in cursor:
            if kind == DOWN:
                out_of_use.setdefault(id_, ("probe_failed", at_s))
            elif kind == HELD:
                out_of_use[id_] = ("held_open", at_s)
            elif kind == RETURNED:
                returned.append((id_, at_s))
            else:
                breakers.append(Known(id_, credential_id, kind == OPEN, at_s or 0.0, change))
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
