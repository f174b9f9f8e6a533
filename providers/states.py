"""What the shared rows say of each target now: in use, or out of it and why. For pages and the management API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils import timezone

from providers.breakers import CLOSED, HELD, OPEN, breakers_of
from providers.models import BreakerState, ConnectionKey, Pulse


class Condition(StrEnum):
    """`closed` is well, as of a breaker; `half_open` lets one request through to see."""

    CLOSED, OPEN, HALF_OPEN, PROBE_FAILED, HELD_OPEN = "closed", "open", "half_open", "probe_failed", "held_open"


@dataclass(frozen=True, slots=True)
class TargetState:
    """`until` is when it is tried again, None where nothing is known or only a person ends it."""

    condition: Condition
    since: datetime | None = None
    until: datetime | None = None
    reason: str = ""
    detail: str = ""


WELL = TargetState(Condition.CLOSED)


def states_of(targets: Mapping[int, int]) -> dict[int, TargetState]:
    """
    Args:
        targets: for each target's id the id of its connection, or one of no connection for a machine's.
    """
    now = timezone.now()
    rows: defaultdict[int, list[BreakerState]] = defaultdict(list)
    for row in breakers_of(targets):
        rows[row.target_id].append(row)
    pulses = {each.connection_id: each for each in _down(targets.values())}
    keys: defaultdict[int, set[int]] = defaultdict(set)
    active = ConnectionKey.objects.filter(connection__in=set(targets.values()), state=ConnectionKey.ACTIVE)
    for connection_id, key_id in active.values_list("connection_id", "pk"):
        keys[connection_id].add(key_id)
    return {
        target_id: _state(rows[target_id], pulses.get(connection_id), keys[connection_id], now)
        for target_id, connection_id in targets.items()
    }


def recovered_at(target_ids: Iterable[int]) -> dict[int, datetime]:
    """When the breaker of a target last closed, whatever closed it."""
    rows = BreakerState.objects.filter(target_id__in=list(target_ids), state=CLOSED)
    return dict(rows.order_by("since").values_list("target_id", "since"))  # the newest wins


def _down(connection_ids: Iterable[int]) -> Iterable[Pulse]:
    return Pulse.objects.filter(connection__in=set(connection_ids), state=Pulse.DOWN)


def _state(rows: list[BreakerState], pulse: Pulse | None, keys: set[int], now: datetime) -> TargetState:
    held = next((row for row in rows if row.state == HELD), None)
    if held is not None:
        return TargetState(Condition.HELD_OPEN, held.since, held.until, held.reason)
    if pulse is not None:
        return TargetState(Condition.PROBE_FAILED, pulse.since, pulse.next_at, pulse.reason, pulse.detail)
    opened = [row for row in rows if row.state == OPEN]
    if not opened or not (keys or {0}) <= {row.credential_id for row in opened}:
        return WELL  # with another key it is in use
    first = min(opened, key=lambda row: row.until or now)
    condition = Condition.OPEN if first.until is not None and first.until > now else Condition.HALF_OPEN
    return TargetState(condition, first.since, first.until, first.reason)
