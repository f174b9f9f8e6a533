"""Prompts that matter: those that cost most and those that come again, and what keeping their answers would save.

Prompts are told apart by `prompt_hash` alone; what they say is nowhere here. Only answered requests count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import connection

from accounts.models import Organization
from metering.models import Usage
from metering.usage import HIT

Order = Literal["cost", "repeats"]

MOST_TIMES = 200_000
"""Of repetitions that are replayed, the newest: more would take seconds."""

_SUMS = """
SELECT prompt_hash, count(*), count(*) FILTER (WHERE cache = 'HIT'), sum(cost_nanos), sum(saved_nanos),
       sum(input_tokens), sum(output_tokens), min(started_at), max(started_at), max(request_id),
       mode() WITHIN GROUP (ORDER BY model), mode() WITHIN GROUP (ORDER BY route)
FROM metering_usage
WHERE org_id = %s AND started_at >= %s AND started_at < %s AND status = 200 AND prompt_hash <> 0
GROUP BY prompt_hash
"""
_TOP = f"""
WITH sums (prompt_hash, requests, hits, cost_nanos, saved_nanos, input_tokens, output_tokens, first_at, last_at,
           request_id, model, route) AS ({_SUMS}),
ranked AS (
    SELECT *, row_number() OVER (ORDER BY cost_nanos DESC, requests DESC, prompt_hash) AS by_cost,
           CASE WHEN requests > 1
                THEN row_number() OVER (ORDER BY requests DESC, cost_nanos DESC, prompt_hash) END AS by_repeats
    FROM sums
)
SELECT * FROM ranked WHERE by_cost <= %s OR by_repeats <= %s
"""  # noqa: S608  made of the text above


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt over a window. `route` is empty where its model was asked for by name."""

    hash: int
    requests: int
    hits: int
    cost_nanos: int
    saved_nanos: int
    input_tokens: int
    output_tokens: int
    first_at: datetime
    last_at: datetime
    request_id: str  # of the latest
    model: str
    route: str

    @property
    def name(self) -> str:
        """As it may be shown: sixteen digits."""
        return f"{self.hash % 2**64:016x}"

    @staticmethod
    def hash_of(name: str) -> int:
        """The other way round. Raises: ValueError."""
        number = int(name, 16)
        return number - 2**64 if number >= 2**63 else number

    @property
    def repeats(self) -> int:
        return self.requests - 1


@dataclass(frozen=True, slots=True)
class Prediction:
    """What would have been answered from memory had answers been kept for `ttl_s`, and what that cost."""

    ttl_s: int
    hits: int
    saving_nanos: int


@dataclass(frozen=True, slots=True)
class Time:
    """One request of a prompt: when, for how much, and whether it was answered from memory as it is."""

    at: datetime
    cost_nanos: int
    was_hit: bool


def top_prompts(org: Organization, from_: datetime, to: datetime, limit: int = 20) -> dict[Order, list[Prompt]]:
    """Of [from_, to), in both orders. By repeats only those that came more than once."""
    with connection.cursor() as cursor:
        cursor.execute(_TOP, [org.pk, from_, to, limit, limit])
        rows = [(_prompt(*row[:-2]), *row[-2:]) for row in cursor.fetchall()]
    return {
        "cost": [prompt for prompt, place, _other in sorted(rows, key=lambda row: row[1]) if place <= limit],
        "repeats": [
            prompt for prompt, _other, place in sorted(rows, key=lambda row: row[2] or 0) if place and place <= limit
        ],
    }


def times_of(org: Organization, hashes: Iterable[int], from_: datetime, to: datetime) -> dict[int, list[Time]]:
    """Every request of these prompts, oldest first."""
    rows = Usage.objects.of(org).filter(
        started_at__gte=from_, started_at__lt=to, status=200, prompt_hash__in=[*hashes]
    )
    found: dict[int, list[Time]] = defaultdict(list)
    columns = rows.order_by("-started_at").values_list("prompt_hash", "started_at", "cost_nanos", "cache")
    for prompt_hash, at, cost_nanos, cache in columns[:MOST_TIMES]:
        found[prompt_hash].append(Time(at, cost_nanos, cache == HIT))
    return {prompt_hash: times[::-1] for prompt_hash, times in found.items()}


def predict(times: Sequence[Time], ttl_s: int) -> Prediction:
    """Replays them through a cache that keeps an answer for so long from when it was made.

    What was a hit already saves nothing more.
    """
    hits, saving_nanos, kept_until = 0, 0, None
    for time in times:
        if kept_until is not None and time.at <= kept_until:
            hits += not time.was_hit
            saving_nanos += time.cost_nanos
        elif not time.was_hit:
            kept_until = time.at + timedelta(seconds=ttl_s)
    return Prediction(ttl_s, hits, saving_nanos)


def best_ttl(times: Sequence[Time], choices: Sequence[int], share: float = 0.8) -> Prediction | None:
    """The shortest time that brings most of what the longest would: an old answer is worse than a fresh one.

    Returns:
        None where no repetition would be answered from memory.
    """
    predictions = [predict(times, ttl_s) for ttl_s in sorted(choices)]
    most = predictions[-1]
    if not most.hits:
        return None
    return next(each for each in predictions if each.hits >= share * most.hits)


def _prompt(prompt_hash: int, requests: int, hits: int, *rest: Any) -> Prompt:
    """PostgreSQL sums BIGINT to NUMERIC."""
    cost_nanos, saved_nanos, input_tokens, output_tokens = map(int, rest[:4])
    return Prompt(prompt_hash, requests, hits, cost_nanos, saved_nanos, input_tokens, output_tokens, *rest[4:])
