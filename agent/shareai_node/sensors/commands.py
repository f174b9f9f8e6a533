"""Asking a command of the system."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

_WITHIN_S = 2.0


def output_of(command: Sequence[str]) -> str | None:
    """What it prints; None if it is not there, fails, or takes too long."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
