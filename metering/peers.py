"""Who else serves on this host: each process holds a lock on a file, which ends with it however that ends.

So processes know of each other before they have heard of each other through Redis, and while it is away.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from metering import segments
from metering.segments import SUFFIX, Segment


class Peers:
    """Made when the process starts, closed at its end. The directory is shared by all processes of the host."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._own: Segment = segments.create(directory, f"{os.getpid()}-{secrets.token_hex(8)}")

    @property
    def name(self) -> str:
        """Of this process: its id, a dash, and what tells it from another that has the same id later."""
        return self._own.path.stem

    def count(self) -> int:
        """How many live, this one included. Those that died are forgotten."""
        return max(1, len(self.names()))

    def names(self) -> set[str]:
        for gone in segments.orphans(self.directory, {self._own.path}):
            gone.discard()
        return {path.stem for path in self.directory.glob("*" + SUFFIX)}

    def rank(self) -> int:
        """The place of this process among those that live, by age: who comes later takes nobody's place."""
        own = _age(self._own.path)
        return sum(_age(path) < own for path in self.directory.glob("*" + SUFFIX) if path != self._own.path)

    def close(self) -> None:
        if not self._own.closed:
            self._own.discard()


def _age(path: Path) -> tuple[float, str]:
    """Since when a process lives, by its file, to which nobody writes. One that has just ended comes after all."""
    try:
        return path.stat().st_mtime_ns, path.stem
    except FileNotFoundError:
        return float("inf"), path.stem
