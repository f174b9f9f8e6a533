"""What the shared rows say of each target now: in use, or out of it and why. For pages and the management API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils import timezone

from providers.breakers import CLOSED, HELD, OPEN, breakers_of, is_in_force
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


@dataclass(frozen=True, slots=True)
class Known:
    """Of connections, by their ids: what was last proven of each, and which of its keys are in use."""

    pulses: Mapping[int, Pulse]
    keys: Mapping[int, set[int]]


def states_of(targets: Mapping[int, int], known: Known | None = None) -> dict[int, TargetState]:
    """
    Args:
        targets: for each target's id the id of its connection, or one of no connection for a machine's.
        known: of all those connections, where the caller read it already.
    """
    return _states(targets, breakers_of(targets), known or _known_of(set(targets.values())))


def _states(targets: Mapping[int, int], breakers: Iterable[BreakerState], known: Known) -> dict[int, TargetState]:
    now = timezone.now()
    rows: defaultdict[int, list[BreakerState]] = defaultdict(list)
    for row in breakers:
        rows[row.target_id].append(row)
    down = {id: pulse for id, pulse in known.pulses.items() if pulse.state == Pulse.DOWN}
    return {
        target_id: _state(rows[target_id], down.get(connection_id), known.keys.get(connection_id, set()), now)
        for target_id, connection_id in targets.items()
    }


def states_and_recoveries(
    targets: Mapping[int, int], known: Known
) -> tuple[dict[int, TargetState], dict[int, datetime]]:
    """The states, and when the breaker of a target last closed, whatever closed it; in one question."""
    found = list(BreakerState.objects.filter(target_id__in=list(targets)).order_by("since"))
    closed = {row.target_id: row.since for row in found if row.state == CLOSED}  # the newest wins
    return _states(targets, (row for row in found if is_in_force(row)), known), closed


def _known_of(connection_ids: set[int]) -> Known:
    pulses = Pulse.objects.filter(connection__in=connection_ids, state=Pulse.DOWN)
    keys: defaultdict[int, set[int]] = defaultdict(set)
    active = ConnectionKey.objects.filter(connection__in=connection_ids, state=ConnectionKey.ACTIVE)
    for connection_id, key_id in active.values_list("connection_id", "pk"):
        keys[connection_id].add(key_id)
    return Known({pulse.connection_id: pulse for pulse in pulses}, keys)


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
