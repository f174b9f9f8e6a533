"""How targets and connections have been doing: by its own organisation's traffic, and by what is shared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from django.db import connection as database
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from console import words
from providers.models import Connection, ConnectionKey, Pulse, ServedModel
from providers.states import Condition, Known, TargetState, states_and_recoveries

WINDOW = timedelta(minutes=5)
_MOST_REQUESTS = 1000
_TROUBLE_SHARE = 0.5
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

_ATTEMPTS = """
    SELECT target, count(*), count(*) FILTER (WHERE outcome <> 'ok'), max(started_at),
        coalesce((array_agg(outcome ORDER BY started_at DESC) FILTER (WHERE outcome <> 'ok'))[1], ''),
        max(started_at) FILTER (WHERE outcome <> 'ok')
    FROM (
        SELECT started_at, attempts FROM metering_usage
        WHERE org_id = %s AND started_at >= %s ORDER BY started_at DESC LIMIT %s
    ) AS recent, jsonb_to_recordset(attempts) AS attempt (target text, outcome text)
    WHERE outcome <> 'hedge_lost'
    GROUP BY target
"""


class Health(StrEnum):
    HEALTHY, DEGRADED, DOWN, UNKNOWN, DISABLED, NO_KEY, HELD = (
        "healthy",
        "degraded",
        "down",
        "unknown",
        "disabled",
        "no_key",
        "held_open",
    )


TONES = {
    Health.HEALTHY: "ok",
    Health.DEGRADED: "warn",
    Health.DOWN: "bad",
    Health.UNKNOWN: "off",
    Health.DISABLED: "off",
    Health.NO_KEY: "bad",
    Health.HELD: "off",
}
WORDS = {
    Health.HEALTHY: _("Healthy"),
    Health.DEGRADED: _("Failing at times"),
    Health.DOWN: _("Failing"),
    Health.UNKNOWN: _("Not seen yet"),
    Health.DISABLED: _("Disabled"),
    Health.NO_KEY: _("All keys parked"),
    Health.HELD: _("Out of use by hand"),
}


@dataclass(frozen=True, slots=True)
class Attempts:
    """What became of the tries at one target, or at one connection. `last_error` is the newest failure's outcome."""

    total: int = 0
    failed: int = 0
    last_at: datetime | None = None
    last_error: str = ""
    last_error_at: datetime | None = None

    @property
    def ok(self) -> int:
        return self.total - self.failed

    @property
    def state(self) -> Health | None:
        """None without any."""
        if not self.total:
            return None
        if not self.failed:
            return Health.HEALTHY
        return Health.DOWN if self.failed / self.total > _TROUBLE_SHARE else Health.DEGRADED

    def __add__(self, other: Attempts) -> Attempts:
        newest = max((self, other), key=lambda each: each.last_error_at or _LONG_AGO)
        return Attempts(
            self.total + other.total,
            self.failed + other.failed,
            max(self.last_at or _LONG_AGO, other.last_at or _LONG_AGO),
            newest.last_error,
            newest.last_error_at,
        )


@dataclass(frozen=True, slots=True)
class Vitals:
    """`pulse` is what was last proven of the connection; `out` are the states of its models that failed."""

    state: Health
    attempts: Attempts
    pulse: Pulse | None = None
    out: tuple[TargetState, ...] = ()

    @property
    def why(self) -> str:
        """In words, of what is out of use now or else failed last; "" when nothing did."""
        if self.state in (Health.NO_KEY, Health.HELD):
            return ""
        if self.out:
            return words.health_reason(self.out[0].reason)
        return words.outcome(self.attempts.last_error) if self.attempts.last_error and self.is_trouble else ""

    @property
    def since(self) -> datetime | None:
        return self.out[0].since if self.out else None

    @property
    def is_trouble(self) -> bool:
        return self.state in (Health.DEGRADED, Health.DOWN, Health.NO_KEY)

    @property
    def tone(self) -> str:
        return TONES[self.state]

    @property
    def word(self) -> str:
        return str(WORDS[self.state])


def vitals_of(organization: Organization, connections: Iterable[Connection]) -> dict[int, Vitals]:
    """By the connection's primary key. `connections` come with their keys prefetched."""
    connections = list(connections)
    recent: dict[str, Attempts] = {}
    for target, attempts in recent_attempts(organization).items():
        slug = target.partition("/")[0]
        recent[slug] = recent.get(slug, Attempts()) + attempts
    known = known_of(connections)
    served = served_by(connections)
    targets = {model: connection for connection, models in served.items() for model in models}
    states, recovered = states_and_recoveries(targets, known)
    found = {}
    for each in connections:
        models = served.get(each.pk, [])
        shared = _Shared(
            known.pulses.get(each.pk),
            tuple(states[model] for model in models),
            max((recovered[model] for model in models if model in recovered), default=None),
        )
        found[each.pk] = _vitals(each, recent.get(each.slug, Attempts()), shared)
    return found


def known_of(connections: Sequence[Connection]) -> Known:
    """Their pulses, and their keys in use."""
    keys = {each.pk: {key.pk for key in each.keys.all() if key.state == ConnectionKey.ACTIVE} for each in connections}
    return Known(_pulses_of(connections), keys)


def _pulses_of(connections: Sequence[Connection]) -> dict[int, Pulse]:
    """Those that came with their connections, for who joined them; else read."""
    if all("pulse" in each._state.fields_cache for each in connections):
        return {each.pk: each.pulse for each in connections if each._state.fields_cache["pulse"] is not None}
    return {each.connection_id: each for each in Pulse.objects.filter(connection__in=connections)}


@dataclass(frozen=True, slots=True)
class _Shared:
    pulse: Pulse | None
    states: tuple[TargetState, ...]
    recovered_at: datetime | None

    @property
    def wanted(self) -> tuple[TargetState, ...]:
        """Without what people took out of use, which is no trouble."""
        return tuple(state for state in self.states if state.condition is not Condition.HELD_OPEN)

    @property
    def out(self) -> tuple[TargetState, ...]:
        return tuple(state for state in self.wanted if state.condition is not Condition.CLOSED)

    def is_over(self, trouble_at: datetime | None) -> bool:
        """Whether something proved, after that failure, that all works again."""
        proofs = [self.recovered_at or _LONG_AGO]
        if self.pulse is not None and self.pulse.state == Pulse.UP:
            proofs.append(self.pulse.since)
        return trouble_at is not None and not self.out and max(proofs) > trouble_at


def served_by(connections: Iterable[Connection]) -> dict[int, list[int]]:
    """The ids of their enabled models."""
    served: dict[int, list[int]] = {}
    rows = ServedModel.objects.filter(connection__in=[each.pk for each in connections], enabled=True)
    for connection_id, model_id in rows.order_by("pk").values_list("connection_id", "pk"):
        served.setdefault(connection_id, []).append(model_id)
    return served


def recent_attempts(organization: Organization) -> dict[str, Attempts]:
    """By the target, `<connection slug>/<model>`, from the newest requests of the last minutes."""
    with database.cursor() as cursor:
        cursor.execute(_ATTEMPTS, [organization.pk, timezone.now() - WINDOW, _MOST_REQUESTS])
        return {target: Attempts(*counted) for target, *counted in cursor.fetchall()}


def _vitals(connection: Connection, seen: Attempts, shared: _Shared) -> Vitals:
    return Vitals(_state(connection, seen, shared), seen, shared.pulse, shared.out)


def _state(connection: Connection, seen: Attempts, shared: _Shared) -> Health:
    if not connection.enabled:
        return Health.DISABLED
    keys = list(connection.keys.all())
    if keys and all(key.state == ConnectionKey.PARKED for key in keys):
        return Health.NO_KEY
    if shared.states and not shared.wanted:
        return Health.HELD
    if shared.out:
        return Health.DOWN if len(shared.out) == len(shared.wanted) else Health.DEGRADED
    if seen.state:
        return Health.HEALTHY if shared.is_over(seen.last_error_at) else seen.state
    if shared.pulse is not None and shared.pulse.state == Pulse.UP:
        return Health.HEALTHY
    if connection.last_test:
        return Health.HEALTHY if connection.last_test.get("ok") else Health.DOWN
    return Health.UNKNOWN
