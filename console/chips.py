"""Filters that are on, to be seen and taken off one by one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on, and the address without it. `at` for one that is a time."""

    name: str
    label: Any
    value: str
    given: str
    without: str
    at: datetime | None = None
