"""How a connection has been doing, as far as this organisation's own traffic tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from metering.models import Usage
from providers.models import Connection, ConnectionKey

WINDOW = timedelta(minutes=5)
_MOST_REQUESTS = 1000
_TROUBLE_SHARE = 0.5


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


@dataclass(slots=True)
class Attempts:
    ok: int = 0
    failed: int = 0
    last_error: str = ""
    last_at: datetime | None = None

    @property
    def total(self) -> int:
        return self.ok + self.failed


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
    recent = recent_attempts(organization)
    return {each.pk: _vitals(each, recent.get(each.slug, Attempts())) for each in connections}


def recent_attempts(organization: Organization) -> dict[str, Attempts]:
    """By the connection's slug, from the newest requests of the last minutes."""
    rows = Usage.objects.of(organization).filter(started_at__gte=timezone.now() - WINDOW).order_by("-started_at")
    found: dict[str, Attempts] = {}
    for started_at, attempts in rows.values_list("started_at", "attempts")[:_MOST_REQUESTS]:
        for attempt in attempts:
            _count(found.setdefault(attempt["target"].partition("/")[0], Attempts()), attempt["outcome"], started_at)
    return found


def _count(seen: Attempts, outcome: str, at: datetime) -> None:
    if outcome == "ok":
        seen.ok += 1
    else:
        seen.failed += 1
        seen.last_error = seen.last_error or outcome
    seen.last_at = seen.last_at or at


def _vitals(connection: Connection, seen: Attempts) -> Vitals:
    return Vitals(_state(connection, seen), seen)


def _state(connection: Connection, seen: Attempts) -> Health:
    if not connection.enabled:
        return Health.DISABLED
    keys = list(connection.keys.all())
    if keys and all(key.state == ConnectionKey.PARKED for key in keys):
        return Health.NO_KEY
    if seen.total:
        share = seen.failed / seen.total
        if share == 0:
            return Health.HEALTHY
        return Health.DOWN if share > _TROUBLE_SHARE else Health.DEGRADED
    if connection.last_test:
        return Health.HEALTHY if connection.last_test.get("ok") else Health.DOWN
    return Health.UNKNOWN
