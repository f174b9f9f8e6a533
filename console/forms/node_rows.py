"""Forms with as many rows as a machine has models, or hours a week: what was typed, and what is wrong with it.

A refusal of the room below names a row by its place among those that were sent (`models.2.input_price`,
`calendar.0.from`); here it lands at the row that was typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from accounts.errors import InvalidField
from common.money import usd_from_nanos
from common.numbers import plain
from nodes.models import Node, NodeModel

BLANK_HOURS = 2
"""So many empty rows stand below the hours there are, to be filled without a script."""

_MODEL_AT = re.compile(r"models\.(\d+)\.(\w+)")
_HOURS_AT = re.compile(r"calendar\.(\d+)\.(\w+)")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model, as stored or as typed. Prices in US dollars for a million tokens."""

    model: NodeModel
    name: str
    advertised: bool
    for_others: bool
    input_price: str
    output_price: str
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.model.public_id

    def wish(self) -> dict[str, Any]:
        return {
            "upstream_id": self.model.upstream_id,
            "id": self.name,
            "advertised": self.advertised,
            "for_others": self.for_others,
            "input_price": self.input_price.strip() or "0",
            "output_price": self.output_price.strip() or "0",
        }


def stored_models(models: Iterable[NodeModel]) -> list[ModelRow]:
    return [
        ModelRow(
            row,
            row.model_id,
            row.advertised,
            row.for_others,
            _usd(row.input_price_nanos),
            _usd(row.output_price_nanos),
        )
        for row in models
    ]


def typed_models(models: Iterable[NodeModel], data: QueryDict) -> list[ModelRow]:
    """A model that came while the form stood open is not in `data`, and stays as it is."""
    offered, others = set(data.getlist("advertised")), set(data.getlist("for_others"))
    return [
        ModelRow(
            row.model,
            data.get(f"name-{row.key}", row.name),
            row.key in offered,
            row.key in others,
            data.get(f"input-{row.key}", row.input_price),
            data.get(f"output-{row.key}", row.output_price),
        )
        for row in stored_models(models)
        if f"name-{row.key}" in data
    ]


def refused_models(rows: list[ModelRow], refusal: InvalidField) -> tuple[list[ModelRow], list[str]]:
    """The rows with their errors, and what is wrong with none of them in particular."""
    found, rest = _by_row(_MODEL_AT, refusal)
    return [replace(row, errors=found.get(index, {})) for index, row in enumerate(rows)], rest


@dataclass(frozen=True, slots=True)
class HoursRow:
    days: tuple[int, ...] = ()
    begins: str = ""
    ends: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def is_blank(self) -> bool:
        return not (self.days or self.begins or self.ends)

    def wish(self) -> dict[str, Any]:
        return {"days": list(self.days), "from": self.begins, "to": self.ends}


def stored_hours(node: Node) -> list[HoursRow]:
    return [HoursRow(tuple(each["days"]), each["from"], each["to"]) for each in node.calendar]


def typed_hours(data: QueryDict) -> list[HoursRow]:
    """Without those that were left empty, or ticked to go."""
    gone = set(data.getlist("hours-gone"))
    numbers = [name.removeprefix("hours-from-") for name in data if name.startswith("hours-from-")]
    numbers = [number for number in numbers if number not in gone]
    rows = [_typed_row(data, number) for number in numbers]
    return [row for row in rows if not row.is_blank]


def refused_hours(rows: list[HoursRow], refusal: InvalidField) -> list[HoursRow]:
    found, _rest = _by_row(_HOURS_AT, refusal)
    return [replace(row, errors=found.get(index, {})) for index, row in enumerate(rows)]


def with_blanks(rows: list[HoursRow]) -> list[HoursRow]:
    return [*rows, *(HoursRow() for _ in range(BLANK_HOURS))]


def _typed_row(data: QueryDict, number: str) -> HoursRow:
    days = tuple(int(day) for day in data.getlist(f"hours-days-{number}") if day in set("0123456"))
    ends = data.get(f"hours-to-{number}", "")
    return HoursRow(days, data.get(f"hours-from-{number}", ""), "24:00" if ends == "00:00" else ends)


def _by_row(place: re.Pattern[str], refusal: InvalidField) -> tuple[dict[int, dict[str, str]], list[str]]:
    found: dict[int, dict[str, str]] = {}
    rest: list[str] = []
    for name, texts in refusal.fields.items():
        if match := place.fullmatch(name):
            found.setdefault(int(match[1]), {})[match[2]] = " ".join(texts)
        else:
            rest += texts
    return found, rest


def _usd(nanos: int) -> str:
    return plain(usd_from_nanos(nanos))
