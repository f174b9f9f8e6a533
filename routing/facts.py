"""What a request brings to the rules of its route. Read only for a route that has rules. Pure, but for the clock.

Tags of a request are those of its key, those that `metadata.tags` lists with commas between, and `name=value` for
every other entry of the body's `metadata`. A data class comes as the tag `data_class=…` or in a header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from accounts.authentication import KeyRecord
from metering.budgets import Budgets
from providers.schema import BYTES_PER_TOKEN, Call
from routing.rules import DATA_CLASSES, Facts, Rule
from routing.snapshots import OrgSnapshot

DATA_CLASS_HEADER = b"x-shareai-data-class"
DATA_CLASS_TAG = "data_class="

BudgetUsed = Callable[[Budgets, int | None, int, str], float]
"""How much of the fullest budget on a caller's way is used, in percent: by its user and key, and its route."""

MinuteIn = Callable[[str], int]
"""Which minute of the day it is in a time zone."""


def nothing_used(budgets: Budgets, user_id: int | None, key_id: int, route: str) -> float:
    return 0.0


def minute_now(time_zone: str) -> int:
    return minute_of(datetime.now(UTC), time_zone)


def facts_of(
    call: Call,
    snapshot: OrgSnapshot,
    key_id: str,
    rules: tuple[Rule, ...],
    budget_used: BudgetUsed,
    minute_in: MinuteIn = minute_now,
    route: str = "",
) -> Facts:
    """`key_id` is the public id of the caller's key, "" for nobody's."""
    key = snapshot.keys.get(key_id)
    tags = frozenset((*_tags_of_body(call), *(key.tags if key else ())))
    return Facts(
        models=frozenset((call.model, *call.models)),
        keys=frozenset((key.public_id, key.name)) if key else frozenset(),
        member=key.member if key else "",
        tags=tags,
        headers=_headers_of(call) if any(rule.when.headers for rule in rules) else {},
        data_class=_strictest([tag[len(DATA_CLASS_TAG) :] for tag in tags if tag.startswith(DATA_CLASS_TAG)], call),
        prompt_tokens=call.prompt_bytes // BYTES_PER_TOKEN,
        budget_percent=_budget_percent(snapshot.budgets, key, route, budget_used),
        minute=minute_in(snapshot.time_zone),
    )


def _budget_percent(budgets: Budgets | None, key: KeyRecord | None, route: str, budget_used: BudgetUsed) -> float:
    if budgets is None:
        return 0.0
    return budget_used(budgets, key.user_id if key else None, key.id if key else 0, route)


def _tags_of_body(call: Call) -> Iterator[str]:
    metadata = call.body.get("metadata")
    if not isinstance(metadata, dict):
        return
    for name, value in metadata.items():
        if not isinstance(value, str):
            continue
        if name == "tags":
            yield from (tag for part in value.split(",") if (tag := part.strip()))
        else:
            yield f"{name}={value}"


def _strictest(said: list[str], call: Call) -> str:
    """A class that nobody has defined counts as the strictest: who marks data must not be overheard for a typing
    error."""
    said += [value.decode("latin-1") for name, value in call.headers if name == DATA_CLASS_HEADER]
    if not said:
        return ""
    ranks = [DATA_CLASSES.index(word) if word in DATA_CLASSES else len(DATA_CLASSES) - 1 for word in said]
    return DATA_CLASSES[max(ranks)]


def _headers_of(call: Call) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in call.headers}


def minute_of(at: datetime, time_zone: str) -> int:
    there = at.astimezone(_zone(time_zone))
    return there.hour * 60 + there.minute


@lru_cache(256)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
