"""Which agents this console works with."""

from __future__ import annotations

import re

LEAST_AGENT = "0.1.0"

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+.a-z].*)?", re.ASCII)


def is_supported(version: str) -> bool:
    found = parsed(version)
    return found is not None and found >= _LEAST


def parsed(version: str) -> tuple[int, int, int] | None:
    """The three numbers in front; None for what does not look like a version."""
    match = _VERSION.fullmatch(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


_LEAST = parsed(LEAST_AGENT) or (0, 0, 0)
