"""Lists, a page at a time: a cursor says after which row to go on, so rows that come or go shift nothing.

A cursor is signed, so what comes back is what was given out, and for the list that it was given out for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.signing import BadSignature, Signer
from django.db.models import Model, Q, QuerySet

from accounts.errors import InvalidField

M = TypeVar("M", bound=Model)
T = TypeVar("T")

NEWEST_FIRST = ("-created_at", "-public_id")


@dataclass(frozen=True, slots=True)
class Page:
    rows: Sequence[Any]
    next_cursor: str | None = None


def page_of_rows(rows: QuerySet[M], order: Sequence[str], cursor: str | None, limit: int, mark: str) -> Page:
    """
    Args:
        order: names of fields that together tell rows apart, all with a minus in front or none.
        mark: names the list; a cursor works for no other.

    Raises:
        InvalidField: naming `cursor`.
    """
    names = [name.removeprefix("-") for name in order]
    if cursor is not None:
        rows = rows.filter(_beyond(rows.model, names, opened(cursor, mark), order[0].startswith("-")))
    found = list(rows.order_by(*order)[: limit + 1])
    if len(found) <= limit:
        return Page(found)
    last = found[limit - 1]
    return Page(found[:limit], sealed([_text(last, name) for name in names], mark))


def page_of_list(rows: Sequence[T], name_of: Callable[[T], str], cursor: str | None, limit: int, mark: str) -> Page:
    """As `page_of_rows`, of a list in memory, sorted by a name that each has alone."""
    after = opened(cursor, mark)[0] if cursor is not None else None
    left = sorted((row for row in rows if after is None or name_of(row) > after), key=name_of)
    more = len(left) > limit
    return Page(left[:limit], sealed([name_of(left[limit - 1])], mark) if more else None)


def sealed(position: list[str], mark: str) -> str:
    return Signer(salt=f"cursor of {mark}").sign_object(position, compress=True)


def opened(cursor: str, mark: str) -> list[str]:
    try:
        position: list[str] = Signer(salt=f"cursor of {mark}").unsign_object(cursor)
    except BadSignature:
        raise InvalidField.one("cursor", "This cursor did not come from this list.") from None
    return position


def _beyond(model: type[Model], names: Sequence[str], position: Sequence[str], descending: bool) -> Q:
    """Rows after the position, by the first field, then the second among equals, and so on."""
    comparison = "lt" if descending else "gt"
    beyond, equal = Q(), Q()
    for name, text in zip(names, position, strict=True):
        value = _field(model, name).to_python(text)
        beyond |= equal & Q(**{f"{name}__{comparison}": value})
        equal &= Q(**{name: value})
    return beyond


def _text(row: Model, name: str) -> str:
    return str(_field(type(row), name).value_to_string(row))


def _field(model: type[Model], name: str) -> Any:
    return model._meta.get_field(name)
