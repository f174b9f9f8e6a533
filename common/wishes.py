"""What somebody asks for, as JSON gave it: fields that are to be an object or an array, or are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidRequest


def object_of(wish: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Empty where nothing is said. Raises: InvalidRequest."""
    value = wish.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"'{name}' must be an object.", param=name)
    return value


def list_of(value: Any, name: str) -> list[Any]:
    """As `object_of`. Args: name: what the value is called, where it says what is wrong."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest(f"'{name}' must be an array.", param=name)
    return value
