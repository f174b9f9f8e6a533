"""How targets and connections have been doing, as far as this organisation's own traffic tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from django.db import connection as database
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from providers.models import Connection, ConnectionKey

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
    GROUP BY target
"""


class Health(StrEnum):
    HEALTHY, DEGRADED, DOWN, UNKNOWN, DISABLED, NO_KEY = (
        "healthy",
        "degraded",
        "down",
        "unknown",
        "disabled",
        "no_key",
    )


TONES = {
    Health.HEALTHY: "ok",
    Health.DEGRADED: "warn",
    Health.DOWN: "bad",
    Health.UNKNOWN: "off",
    Health.DISABLED: "off",
    Health.NO_KEY: "bad",
}
WORDS = {
    Health.HEALTHY: _("Healthy"),
    Health.DEGRADED: _("Failing at times"),
    Health.DOWN: _("Failing"),
    Health.UNKNOWN: _("No traffic yet"),
    Health.DISABLED: _("Disabled"),
    Health.NO_KEY: _("All keys parked"),
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
    state: Health
    attempts: Attempts

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
    recent: dict[str, Attempts] = {}
    for target, attempts in recent_attempts(organization).items():
        slug = target.partition("/")[0]
        recent[slug] = recent.get(slug, Attempts()) + attempts
    return {each.pk: _vitals(each, recent.get(each.slug, Attempts())) for each in connections}


def recent_attempts(organization: Organization) -> dict[str, Attempts]:
    """By the target, `<connection slug>/<model>`, from the newest requests of the last minutes."""
    with database.cursor() as cursor:
        cursor.execute(_ATTEMPTS, [organization.pk, timezone.now() - WINDOW, _MOST_REQUESTS])
        return {target: Attempts(*counted) for target, *counted in cursor.fetchall()}


def _vitals(connection: Connection, seen: Attempts) -> Vitals:
    return Vitals(_state(connection, seen), seen)


def _state(connection: Connection, seen: Attempts) -> Health:
    if not connection.enabled:
        return Health.DISABLED
    keys = list(connection.keys.all())
    if keys and all(key.state == ConnectionKey.PARKED for key in keys):
        return Health.NO_KEY
    if seen.state:
        return seen.state
    if connection.last_test:
        return Health.HEALTHY if connection.last_test.get("ok") else Health.DOWN
    return Health.UNKNOWN
