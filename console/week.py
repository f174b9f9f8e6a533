"""A machine's weekly calendar as bars of a day: pure, for a drawing without a script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from routing.sentences import clock

DAY_NAMES = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Span:
    """In minutes from midnight."""

    begins: int
    ends: int

    @property
    def length(self) -> int:
        return self.ends - self.begins


@dataclass(frozen=True, slots=True)
class Day:
    name: str
    spans: tuple[Span, ...]

    @property
    def said(self) -> str:
        """For who does not see the drawing."""
        return ", ".join(f"{clock(span.begins)}–{clock(span.ends)}" for span in self.spans)


def week_of(calendar: Iterable[Mapping[str, Any]]) -> list[Day]:
    """Monday first. Hours that end before they begin go on into the next day. No entries at all: any time."""
    spans: list[list[Span]] = [[] for _day in DAY_NAMES]
    for entry in calendar:
        begins, ends = _minutes(entry["from"]), _minutes(entry["to"])
        for day in entry["days"]:
            if begins < ends:
                spans[day].append(Span(begins, ends))
                continue
            spans[day].append(Span(begins, DAY_MINUTES))
            if ends:
                spans[(day + 1) % 7].append(Span(0, ends))
    return [Day(str(name), _merged(found)) for name, found in zip(DAY_NAMES, spans, strict=True)]


def _merged(spans: list[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for span in sorted(spans, key=lambda each: each.begins):
        if merged and span.begins <= merged[-1].ends:
            merged[-1] = Span(merged[-1].begins, max(span.ends, merged[-1].ends))
        else:
            merged.append(span)
    return tuple(merged)


def _minutes(text: str) -> int:
    hours, _colon, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
