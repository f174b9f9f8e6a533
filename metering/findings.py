"""What usage tells of prompts and targets: read at once where there is little of it, else found by a worker and kept.

To group millions of requests takes seconds, which nobody shall wait for. So the sums tell first how many there are.
Of a large window people see the latest findings, with the time they are of, and whoever looks at old ones has them
found anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from django.db.models import Q
from django.utils import timezone

from accounts.models import Organization
from metering.comparison import Served, compare_targets
from metering.models import UsageFindings
from metering.prompts import Order, Prediction, Prompt, best_ttl, times_of, top_prompts
from metering.reports import usage_report

WINDOWS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
TTLS_S = (600, 3600, 86_400, 604_800)
AT_ONCE = 20_000
"""Requests that are read while the one who asks waits."""
MOST_PROMPTS = 100
FRESH = timedelta(minutes=15)
GIVEN_UP = timedelta(minutes=11)
"""After so long a worker that began is no more: its time is limited to less."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A prompt, and what keeping its answers would have saved."""

    prompt: Prompt
    prediction: Prediction | None


@dataclass(frozen=True, slots=True)
class Findings:
    """`by_cost` and `by_repeats` the first MOST_PROMPTS of each order."""

    by_cost: tuple[Repeated, ...] = ()
    by_repeats: tuple[Repeated, ...] = ()
    served: tuple[Served, ...] = ()

    def prompts(self, order: Order) -> tuple[Repeated, ...]:
        return self.by_cost if order == "cost" else self.by_repeats


@dataclass(frozen=True, slots=True)
class Look:
    """`found_at` is when a worker found it; None for what was read just now, and for nothing found yet.

    `is_due` asks for a worker: see `begin`.
    """

    findings: Findings
    found_at: datetime | None = None
    is_under_way: bool = False
    is_due: bool = False

    @property
    def is_empty(self) -> bool:
        """Nothing can be said before a worker has been there."""
        return self.found_at is None and (self.is_under_way or self.is_due)


def look(organization: Organization, window: str, now: datetime) -> Look:
    """At most AT_ONCE rows of usage are read here, however many there are."""
    (total,) = usage_report(organization, now - WINDOWS[window], now)
    if total.requests <= AT_ONCE:
        return Look(find(organization, window, now))
    row = UsageFindings.objects.of(organization).filter(window=window).first()
    if row is None or row.found_at is None:
        return Look(Findings(), None, *_standing(row, now))
    under_way, _is_due = _standing(row, now)
    is_due = row.found_at < now - FRESH and not under_way
    return Look(msgspec.convert(row.found, Findings), row.found_at, under_way, is_due)


def begin(organization: Organization, window: str, now: datetime) -> bool:
    """Claims the next findings of this window. Returns: whether nobody else is at them."""
    UsageFindings.objects.get_or_create(org=organization, window=window)
    free = Q(begun_at=None) | Q(begun_at__lt=now - GIVEN_UP)
    return bool(UsageFindings.objects.of(organization).filter(free, window=window).update(begun_at=now))


def release(organization: Organization, window: str) -> None:
    """Takes a claim back that no worker came to know of."""
    UsageFindings.objects.of(organization).filter(window=window).update(begun_at=None)


def keep(organization: Organization, window: str) -> None:
    """Finds, and writes it down for all who look."""
    now = timezone.now()
    found = msgspec.to_builtins(find(organization, window, now))
    UsageFindings.objects.of(organization).filter(window=window).update(found=found, found_at=now, begun_at=None)


def find(organization: Organization, window: str, now: datetime) -> Findings:
    """Reads every request of the window."""
    from_ = now - WINDOWS[window]
    top = top_prompts(organization, from_, now, MOST_PROMPTS)
    by_cost, by_repeats = top["cost"], top["repeats"]
    hashes = {prompt.hash for prompt in (*by_cost, *by_repeats) if prompt.repeats}
    times = times_of(organization, hashes, from_, now)
    predicted = {prompt: best_ttl(came, TTLS_S) for prompt, came in times.items()}
    served = tuple(compare_targets(organization, from_, now))
    return Findings(_with(by_cost, predicted), _with(by_repeats, predicted), served)


def _with(prompts: Sequence[Prompt], predicted: dict[int, Prediction | None]) -> tuple[Repeated, ...]:
    return tuple(Repeated(prompt, predicted.get(prompt.hash)) for prompt in prompts)


def _standing(row: UsageFindings | None, now: datetime) -> tuple[bool, bool]:
    """Whether somebody is at it, and whether somebody ought to be."""
    under_way = row is not None and row.begun_at is not None and row.begun_at >= now - GIVEN_UP
    return under_way, not under_way
