"""What a runtime's module gets and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Asker: TypeAlias = Callable[[str], Awaitable[Any]]
Listed: TypeAlias = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class LocalModel:
    """
    Args:
        id: as the server calls it.
        context_tokens: as the server says; None: it does not.
        fingerprint: another one means other weights or another server under the same name: probe again.
    """

    id: str
    context_tokens: int | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Recognised:
    runtime: str
    version: str | None
    models: tuple[LocalModel, ...]


def listed_from(entry: Mapping[str, Any], context: object = None, fingerprint: object = "") -> LocalModel:
    return LocalModel(str(entry["id"]), whole(context), str(fingerprint or entry.get("created", "")))


def whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def object_in(value: object, *names: str) -> Mapping[str, Any]:
    """The JSON object at a path of names; an empty one if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def entries_in(value: object, name: str) -> Sequence[Mapping[str, Any]]:
    """The JSON objects in a list."""
    found = object_in(value).get(name)
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []
