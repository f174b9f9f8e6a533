"""What an audit event says of an object before and after: without secrets, and the same after a round trip.

The digest of an event is computed before it is stored and again from what PostgreSQL returns. So every value is first
brought into a form that `jsonb` and `text` give back unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any

MASK = "••••"
_SECRET_WORDS = ("secret", "password", "token", "api_key", "sealed", "authorization")
_EXACT_FLOAT = 1e15  # from 1e16 on, jsonb writes a float without its fraction and returns an integer


def storable(value: Any) -> Any:
    """The same value as JSON with everything that may be a secret blotted out, at any depth."""
    if isinstance(value, Mapping):
        return {_text(str(name)): _entry(str(name), entry) for name, entry in value.items()}
    if isinstance(value, AbstractSet):
        return sorted((storable(entry) for entry in value), key=str)
    if isinstance(value, list | tuple):
        return [storable(entry) for entry in value]
    return _scalar(value)


def _entry(name: str, value: Any) -> Any:
    may_be_secret = any(word in name.lower() for word in _SECRET_WORDS)
    return _masked(value) if may_be_secret else storable(value)


def _masked(value: Any) -> Any:
    """Numbers stay: `max_tokens` is no secret."""
    if isinstance(value, bool | int | float) or not value:
        return storable(value)
    return MASK


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) and abs(value) < _EXACT_FLOAT else str(value)  # -0.0 becomes 0.0
    if isinstance(value, date):
        return value.isoformat()
    return _text(str(value))


def _text(value: str) -> str:
    """PostgreSQL has no NUL, and UTF-8 no lone surrogates."""
    return value.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only what changed, on both sides."""
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return (
        {name: before[name] for name in changed if name in before},
        {name: after[name] for name in changed if name in after},
    )
