"""Numbers as people and programs write them. A bool is an int to Python, and no number to whoever writes JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeGuard


def is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object, least: int, most: int) -> TypeGuard[int]:
    """Whether it is a whole number between two bounds, both of which are allowed."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def plain(amount: Decimal) -> str:
    """Exact, without an exponent and without zeros behind: 2.500000 → "2.5", 100 → "100", 0E-9 → "0"."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
