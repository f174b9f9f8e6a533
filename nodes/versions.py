"""Which agents this console works with."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from django.conf import settings

LEAST_AGENT = "0.1.0"

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+.a-z].*)?", re.ASCII)


def is_supported(version: str) -> bool:
    found = parsed(version)
    return found is not None and found >= _LEAST


def parsed(version: str) -> tuple[int, int, int] | None:
    """The three numbers in front; None for what does not look like a version."""
    match = _VERSION.fullmatch(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


@cache
def offered_agent() -> str:
    """The version that this console hands out."""
    project = tomllib.loads((Path(settings.BASE_DIR) / "agent" / "pyproject.toml").read_text())
    return str(project["project"]["version"])


def is_older(version: str, than: str) -> bool:
    """False for what does not look like a version."""
    one, other = parsed(version), parsed(than)
    return one is not None and other is not None and one < other


_LEAST = parsed(LEAST_AGENT) or (0, 0, 0)
