"""What the console tells this node to do: its row there, as it comes in `welcome` and in later settings.

It can only narrow what the owner of this machine allows. A value that makes no sense is left as it was: a node that
served yesterday does not stop because of a field that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

MODES = ("always", "idle", "manual")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
MOST_CONCURRENT = 256


@dataclass(frozen=True, slots=True)
class Span:
    """Of a week, in the node's zone; one that ends before it begins goes on past midnight.

    Args:
        days: on which it begins, Monday is 0.
        from_minute, to_minute: of the day, 0 to 1440.
    """

    days: frozenset[int]
    from_minute: int
    to_minute: int


@dataclass(frozen=True, slots=True)
class IdleRules:
    """
    Args:
        quiet_minutes: nobody has touched the machine for so long.
        gpu_below: load, 0 to 1; at 1 it does not matter.
        calendar: empty: at any time.
        time_zone: an IANA name; empty: the machine's own.
    """

    quiet_minutes: int = 10
    gpu_below: float = 0.2
    calendar: tuple[Span, ...] = ()
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class Orders:
    """
    Args:
        models: those to offer; None: all that are found.
        max_concurrent: requests in flight.
    """

    paused: bool = False
    mode: str = "always"
    models: frozenset[str] | None = None
    idle: IdleRules = field(default_factory=IdleRules)
    max_concurrent: int = 4


def understood(said: Mapping[str, Any], former: Orders) -> Orders:
    """The former orders with what was said in place of what it names."""
    orders = former
    if isinstance(paused := said.get("paused"), bool):
        orders = replace(orders, paused=paused)
    if (mode := said.get("mode")) in MODES:
        orders = replace(orders, mode=mode)
    if "models" in said and (said["models"] is None or _is_texts(said["models"])):
        orders = replace(orders, models=None if said["models"] is None else frozenset(said["models"]))
    if isinstance(idle := said.get("idle"), Mapping):
        orders = replace(orders, idle=_idle_rules(idle, former.idle))
    if (most := _number(said.get("max_concurrent"), 1, MOST_CONCURRENT)) is not None:
        orders = replace(orders, max_concurrent=int(most))
    return orders


def _idle_rules(said: Mapping[str, Any], former: IdleRules) -> IdleRules:
    rules = former
    if (minutes := _number(said.get("quiet_minutes"), 0, 7 * 24 * 60)) is not None:
        rules = replace(rules, quiet_minutes=int(minutes))
    if (load := _number(said.get("gpu_below"), 0, 1)) is not None:
        rules = replace(rules, gpu_below=float(load))
    if isinstance(calendar := said.get("calendar"), list):
        spans = [_span(one) for one in calendar]
        # A calendar that is half understood would open the machine at hours its owner never meant.
        if None not in spans:
            rules = replace(rules, calendar=tuple(span for span in spans if span is not None))
    if isinstance(zone := said.get("time_zone"), str):
        rules = replace(rules, time_zone=zone)
    return rules


def _span(said: object) -> Span | None:
    if not isinstance(said, Mapping) or not isinstance(days := said.get("days"), list):
        return None
    starts, ends = _minute(said.get("from")), _minute(said.get("to"))
    if starts is None or ends is None or not all(type(day) is int and 0 <= day <= 6 for day in days):
        return None
    return Span(frozenset(days), starts, ends)


def _minute(said: object) -> int | None:
    if not isinstance(said, str) or not _TIME.fullmatch(said):
        return None
    hours, minutes = said.split(":")
    return int(hours) * 60 + int(minutes)


def _number(said: object, least: float, most: float) -> float | None:
    right = isinstance(said, (int, float)) and not isinstance(said, bool) and least <= said <= most
    return said if right and isinstance(said, (int, float)) else None


def _is_texts(said: object) -> bool:
    return isinstance(said, list) and all(isinstance(one, str) for one in said)
